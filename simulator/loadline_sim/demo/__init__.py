"""The demonstration: its acts, its scenario, the row in virtual time, and its replay."""

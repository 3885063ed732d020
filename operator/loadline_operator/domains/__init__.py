"""PowerDomain: members, candidates, the Lease, and whether S1 and S2 can be kept."""

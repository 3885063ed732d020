"""Two demos on the test bed: servers within a power budget (`power`), and a served model (`serving`)."""

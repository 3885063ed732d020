"""Two demos on the test bed: a row under its budget (`power`) and a served model (`serving`)."""

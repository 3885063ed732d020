"""
`docs/reference/`: what a user looks up, written from the code that it describes.

A field's bounds, a reason's sentence, a metric's labels and a command's options each stand in one
place of the code. Copied by hand into the docs they would soon be wrong, so each page is made from
that place, and a test compares it with what is committed. Nothing here is shipped.
"""

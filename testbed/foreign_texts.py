"""
Texts that others may have written, for tests of what quotes them: all of Unicode, and what is odd in it.
"""

from hypothesis import strategies as st

ODD = "\x00\x07\n\r\t\x1b\x7f\x85\u2028\u2029\u202e\ufeff\ufffd\ufffe\uffff\ud83d\ude80🚀é模\\\"'"
"""Controls, separators, marks, halves of a pair, what is no character, and what is one."""

characters = st.one_of(st.characters(), st.sampled_from(ODD), st.characters(categories=["Cs", "Cc"]))

foreign_texts = st.builds(
    lambda text, times: text * times,
    st.text(characters, min_size=1, max_size=60),
    st.sampled_from([1, 1, 100]),
)
"""Short ones, and some far above any limit."""

"""What the parts of retention's benchmark are asked; no part is run."""

from benchmarks.kv_retention import parts
from benchmarks.kv_retention.parts import QUICK, Options
from benchmarks.kv_retention.setups import CONTEXT_TOKENS, Setup

RECALL_PROMPT_TOKENS = 198
BLOCK_TOKENS = 32


def test_a_setup_is_read_as_it_was_written() -> None:
    setup = Setup(blocks=32, tokens=40, policy="trimkv", kept_tokens=64, plugin=False, step_tokens=256)
    assert Setup.parsed(str(setup)) == setup


def test_the_pools_differ_in_what_is_compared_and_in_nothing_else() -> None:
    found = parts.pools(Options())
    stock, ours = found["stock"], found["trimkv 32"]
    assert ours == stock.with_(plugin=True, policy="trimkv", kept_tokens=32)
    assert found["stock, 4 bits"] == stock.with_(blocks=parts.blocks_of_4_bits(32))
    assert stock.blocks * BLOCK_TOKENS == 1_024


def test_4_bits_hold_less_than_four_times_as_much_for_their_scales() -> None:
    assert 3 * 32 < parts.blocks_of_4_bits(32) < 4 * 32


def test_every_request_fits_into_the_context() -> None:
    for options in (Options(), QUICK):
        setups = [*parts.pools(options).values()]
        longest = max(*(one.tokens for one in setups), options.tokens, options.preempted_tokens)
        assert RECALL_PROMPT_TOKENS + longest <= CONTEXT_TOKENS <= parts.LARGE
    assert parts.FEW_BLOCKS * BLOCK_TOKENS >= CONTEXT_TOKENS


def test_the_whole_run_compares_as_many_tokens_as_the_goals_say() -> None:
    whole = Options()
    assert whole.requests * whole.tokens == 1_920
    assert whole.preempted_requests * whole.preempted_tokens == 3_600


def test_each_part_has_a_name_of_its_own() -> None:
    names = [name for name, _ in parts._others(Options())]
    assert len(names) == len(set(names))
    assert {"ranks", "idle", "tokens: stock", "reference: trimkv 32", "sessions: retention, seed 2"} < {
        *names
    }

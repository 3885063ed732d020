"""
How many watts a GPU draws by phase, and at which clock it would fit a limit.

A GPU draws its idle watts whatever it does; work adds dynamic watts, many in
prefill, more with longer prompts until arithmetic is saturated, and fewer, almost
whatever the batch, in decode. A lower clock shrinks the dynamic part: all of it in
prefill, in decode only what memory doesn't hold fixed.

The laws are inverted here too, since a power limit is obeyed by lowering the clock.
All watts are of one GPU; a server's tensor-parallel GPUs share its phase and clock.
"""

from dataclasses import dataclass

from loadline_policies.models.latencies import on_line


@dataclass(frozen=True, slots=True, kw_only=True)
class WattModel:
    """Watts of one model on one kind of GPU, as shares of its TDP where measured so.

    `prefill_tokens` and `prefill_shares` are the knots of prefill's draw ÷ TDP at full
    clock; decode draws `decode_share` + batch × `decode_share_per_slot`. Dynamic
    power follows clock ** `clock_exponent`, in decode only beyond `decode_fixed_share`.
    """

    tdp_watts: float
    full_mhz: float
    min_mhz: float
    idle_share: float
    prefill_tokens: tuple[float, ...]
    prefill_shares: tuple[float, ...]
    decode_share: float
    decode_share_per_slot: float
    clock_exponent: float
    decode_fixed_share: float


def idle_watts(model: WattModel) -> float:
    """Watts of a GPU without work; the clock doesn't matter."""
    return model.tdp_watts * model.idle_share


def prefill_watts(model: WattModel, *, prompt_tokens: float, clock_mhz: float) -> float:
    """Watts while a prompt of so many tokens is prefilled."""
    share = on_line(prompt_tokens, xs=model.prefill_tokens, ys=model.prefill_shares)
    dynamic = share * model.tdp_watts - idle_watts(model)
    return idle_watts(model) + dynamic * prefill_power_share(model, clock_mhz)


def decode_watts(model: WattModel, *, batch: int, clock_mhz: float) -> float:
    """Watts while a batch of so many sequences decodes."""
    share = model.decode_share + batch * model.decode_share_per_slot
    dynamic = share * model.tdp_watts - idle_watts(model)
    return idle_watts(model) + dynamic * decode_power_share(model, clock_mhz)


def prefill_power_share(model: WattModel, clock_mhz: float) -> float:
    """Prefill's dynamic watts at a clock as a share of those at full clock."""
    return float((clock_mhz / model.full_mhz) ** model.clock_exponent)


def decode_power_share(model: WattModel, clock_mhz: float) -> float:
    """Decode's dynamic watts at a clock as a share of those at full clock."""
    fixed = model.decode_fixed_share
    return fixed + (1.0 - fixed) * prefill_power_share(model, clock_mhz)


def prefill_mhz_within(model: WattModel, *, prompt_tokens: float, limit_watts: float) -> float:
    """The highest clock at which prefill stays within a limit, or the lowest there is."""
    full = prefill_watts(model, prompt_tokens=prompt_tokens, clock_mhz=model.full_mhz)
    return _mhz_of(model, _share_within(model, full_watts=full, limit_watts=limit_watts))


def decode_mhz_within(model: WattModel, *, batch: int, limit_watts: float) -> float:
    """The highest clock at which decode stays within a limit, or the lowest there is."""
    full = decode_watts(model, batch=batch, clock_mhz=model.full_mhz)
    fixed = model.decode_fixed_share
    return _mhz_of(
        model, (_share_within(model, full_watts=full, limit_watts=limit_watts) - fixed) / (1.0 - fixed)
    )


def _share_within(model: WattModel, *, full_watts: float, limit_watts: float) -> float:
    """Which share of the dynamic watts a limit leaves; negative below idle."""
    idle = idle_watts(model)
    return (limit_watts - idle) / (full_watts - idle)


def _mhz_of(model: WattModel, power_share: float) -> float:
    """The clock of a share of the dynamic watts, within the GPU's range."""
    mhz = model.full_mhz * max(power_share, 0.0) ** (1.0 / model.clock_exponent)
    return float(min(max(mhz, model.min_mhz), model.full_mhz))

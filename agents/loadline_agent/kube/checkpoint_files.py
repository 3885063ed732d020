"""
What an agent remembers of the API server, for a restart while that is away.

One small file in the root-only state directory: where the node belongs, who may lead
there, and the last good policies. A file that can't be read is no memory, and the
agent then waits for the API server, in Observe. What is remembered is used until the
API server has spoken, and not a moment longer. What a later version wrote beside that is passed over,
and so is a candidate with another node's certificate, which an earlier one believed.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, field_validator

from loadline_agent import private_files
from loadline_agent.domain.tls_identity import der_of, own_certificate
from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.node_states import Home

FILE = "domain.json"


class RememberedPeer(BaseModel):
    """A candidate: name, address, PEM certificate."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    node: str
    address: str
    certificate: str

    @field_validator("certificate")
    @classmethod
    def _check(cls, certificate: str) -> str:
        der_of(certificate)
        return certificate

    @property
    def certificate_is_own(self) -> bool:
        """Whether the certificate names the node."""
        try:
            own_certificate(self.certificate, node=self.node)
        except InvalidInput:
            return False
        return True


class Checkpoint(BaseModel):
    """All that is remembered. `home` is None while the node's place was never known."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    home: Home | None = None
    candidates: tuple[RememberedPeer, ...] = ()
    policies: dict[str, str] = {}


def recall(state_dir: Path) -> Checkpoint:
    """What was kept, or an empty memory where nothing (usable) was; InvalidInput says what is unusable."""
    path = state_dir / FILE
    try:
        found = Checkpoint.model_validate_json(path.read_text()) if path.exists() else Checkpoint()
        candidates = tuple(one for one in found.candidates if one.certificate_is_own)
        return found.model_copy(update={"candidates": candidates})
    except (OSError, ValueError) as error:  # pydantic's errors are ValueErrors, as are those of text
        raise InvalidInput(
            FILE, str(path), fix="remove it; the agent writes it again with what the API server has"
        ) from error


def keep(state_dir: Path, checkpoint: Checkpoint) -> None:
    """Replace what was kept, as a whole; OSError when the directory can't be written."""
    private_files.replace(state_dir / FILE, checkpoint.model_dump_json())

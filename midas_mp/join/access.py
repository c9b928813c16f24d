"""What a peer brings to a host, and what of it the host's address asks for."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from midas_mp.config import VARIABLES, is_set
from midas_mp.errors import UsageError
from midas_mp.join import state
from midas_mp.join.local import local_key
from midas_mp.join.tls import NO_FILES, TlsFiles, peer_context
from midas_mp.join.token import JoinToken
from midas_mp.transport.address import Address
from midas_mp.transport.joining import Badge

_HOW_TO_SAY: Final = f"set {VARIABLES['token']}, or say --token-file"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What somebody said about it.

    Attributes:
        token: itself.
        token_file: where it is.
        tls_cert: certificate that this side shows, where a site has authorities of its own.
        tls_key: its key, unless that is in the same file.
        tls_ca: who must have signed the host's.
        is_insecure: nobody proves anything.
    """

    token: str | None = dataclasses.field(default=None, repr=False)
    token_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    is_insecure: bool = False

    @classmethod
    def of_environment(
        cls, token: str | None = None, environment: Mapping[str, str] = os.environ
    ) -> Self:
        """What the variables say that the commands understand too; a token that is given wins."""
        said = {name: environment.get(variable, "") for name, variable in VARIABLES.items()}

        def path(name: str) -> Path | None:
            return Path(said[name]) if said[name] else None

        return cls(
            token=token or said["token"] or None,
            token_file=None if token else path("token_file"),
            tls_cert=path("tls_cert"),
            tls_key=path("tls_key"),
            tls_ca=path("tls_ca"),
            is_insecure=is_set(said["insecure"]),
        )

    def badge(self, address: Address) -> Badge | None:
        """What to show there; None is nothing, where nobody proves anything.

        Raises:
            UsageError: the address asks for a token, or what was said makes no sense.
        """
        token = self._token()
        tls = TlsFiles(self.tls_cert, self.tls_key, self.tls_ca)
        if self.is_insecure:
            if token is not None or tls != NO_FILES:
                raise UsageError("--insecure goes without a token and certificates")
            return None
        if token is not None:
            context = peer_context(tls.identity, tls.authority)
            certificate = token.certificate if tls.authority is None else None
            return Badge(token.key, context, certificate)
        if tls != NO_FILES:
            raise UsageError(f"certificates go with a token: {_HOW_TO_SAY}")
        if address.is_loopback or not address.host:
            return Badge(local_key())
        raise UsageError(
            f"the host at {address} lets nobody in without a token: {_HOW_TO_SAY}; "
            "'midas token new' on the host's machine makes one"
        )

    def _token(self) -> JoinToken | None:
        if self.token is not None:
            return JoinToken.parse(self.token)
        if self.token_file is None:
            return None
        state.keep_from_scripts(self.token_file)
        try:
            return JoinToken.parse(self.token_file.read_text(encoding="ascii", errors="replace"))
        except OSError as error:
            raise UsageError(f"{self.token_file}: {error.strerror}") from None
        except UsageError as error:
            raise UsageError(f"{self.token_file}: {error}") from None


BY_USER: Final = Access()
"""Both ends are of this user, on this machine."""

"""The certificate of a server."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from emo_runtime import ArgumentError


@dataclass(frozen=True)
class Tls:
    """Certificate chain and private key, both in PEM."""

    certificate: Path
    key: Path

    def check(self) -> None:
        """Raise ArgumentError unless both can be used. An encrypted key would need a password."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                self.certificate, self.key, password=""
            )
        except (OSError, ValueError) as error:
            raise ArgumentError(
                f"{self.certificate}, {self.key}: not a certificate chain and its unencrypted "
                f"private key, in PEM ({error})."
            ) from None

"""C2PA manifests beside the files of an export, signed with the exporter's certificate (specification 2.4).

C2PA knows no Parquet and no tar to embed a manifest in, so it lies beside as `FILE.c2pa`, bound to the file's bytes by
their hash: whoever changes the file breaks it.
"""

from __future__ import annotations

import json
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from toffee_pipeline.errors import ConfigError
from toffee_pipeline.export.mark import VOCABULARY, SourceType

SUFFIX = ".c2pa"


class Signer:
    """Signs files with the private key of a certificate: of P-256, P-384, RSA or Ed25519.

    Args:
        certificate: PEM, the signer's first, then those that vouch for it. C2PA takes none that vouches for itself.
        key: PEM, without a password.

    Raises:
        ConfigError: a package is missing, or the two cannot be used.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        try:
            self._c2pa: Any = import_module("c2pa")
        except ImportError as error:
            raise ConfigError(
                "--c2pa-certificate needs a package that is not installed: pip install -e '.[c2pa]'"
            ) from error
        try:
            data = key.read_bytes()
            algorithm = _algorithm(data)
            info = self._c2pa.C2paSignerInfo(algorithm, certificate.read_bytes(), data, None)
            self._signer = self._c2pa.Signer.from_info(info)
        except (OSError, TypeError, ValueError, self._c2pa.C2paError) as error:
            raise ConfigError(f"--c2pa-certificate {certificate} --c2pa-key {key}: {_line(error)}") from error

    def sign(self, path: Path, media_type: str, source_type: SourceType) -> Path:
        """Writes the manifest of the file at `path` beside it, and returns where. Takes three times the file's size of
        memory. Raises ConfigError."""
        created = {"action": "c2pa.created", "digitalSourceType": f"{VOCABULARY}{source_type}"}
        manifest = {
            "claim_generator_info": [{"name": "toffee-pipeline", "version": version("toffee-pipeline")}],
            "title": path.name,
            "format": media_type,
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}],
        }
        builder = self._c2pa.Builder(json.dumps(manifest))
        builder.set_no_embed()
        copy, beside = path.with_name(f"{path.name}.tmp"), path.with_name(path.name + SUFFIX)
        try:
            with path.open("rb") as source, copy.open("w+b") as unchanged:
                beside.write_bytes(builder.sign(self._signer, media_type, source, unchanged))
        except self._c2pa.C2paError as error:
            raise ConfigError(f"--c2pa-certificate: {path.name} cannot be signed: {_line(error)}") from error
        copy.unlink()
        return beside


def load_signer(certificate: Path | None, key: Path | None) -> Signer | None:
    """None where neither is given. Raises ConfigError."""
    if (certificate is None) != (key is None):
        raise ConfigError("--c2pa-certificate and --c2pa-key: allowed are both or neither")
    return None if certificate is None or key is None else Signer(certificate, key)


def _algorithm(key: bytes) -> str:
    """The name that C2PA has for the algorithm of a private key."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    match load_pem_private_key(key, password=None):
        case ec.EllipticCurvePrivateKey(key_size=256):
            return "es256"
        case ec.EllipticCurvePrivateKey(key_size=384):
            return "es384"
        case rsa.RSAPrivateKey():
            return "ps256"
        case ed25519.Ed25519PrivateKey():
            return "ed25519"
    raise ValueError("allowed are keys of P-256, P-384, RSA and Ed25519")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())

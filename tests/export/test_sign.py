"""Signed exports, read by C2PA's own library: who signs is known, and a changed file is noticed."""

import datetime
import io
import json

import c2pa
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jobs.export import main
from tests.helpers.planned_run import write_planned_run
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.export.formats import FORMATS
from toffee_pipeline.export.formats.base import MEDIA_TYPES
from toffee_pipeline.export.sign import Signer, load_signer
from toffee_pipeline.schema.pairs import IMAGE_COLUMNS
from toffee_pipeline.storage import LocalStorage

USAGE = dict.fromkeys(
    (
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


def certificate_of(name, key, issuer, issuer_key, authority):
    """Good for a month."""
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, each)]) for each in (name, issuer)]
    built = x509.CertificateBuilder(*reversed(names), key.public_key(), x509.random_serial_number())
    built = built.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(30))
    built = built.add_extension(x509.BasicConstraints(authority, None), True)
    usage = x509.KeyUsage(digital_signature=True, key_cert_sign=authority, crl_sign=authority, **USAGE)
    built = built.add_extension(usage, True)
    built = built.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
    if not authority:
        built = built.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return built.sign(issuer_key, hashes.SHA256() if isinstance(issuer_key, ec.EllipticCurvePrivateKey) else None)


def write_credentials(folder, key):
    """A certificate for `key`, from an authority made up for it."""
    authority = ec.generate_private_key(ec.SECP256R1())
    chain = [
        certificate_of("A maker of datasets", key, "An authority", authority, False),
        certificate_of("An authority", authority, "An authority", authority, True),
    ]
    (folder / "chain.pem").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in chain))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "chain.pem", folder / "key.pem"


def read(data, manifest, media_type="application/x-parquet"):
    return json.loads(c2pa.Reader(media_type, io.BytesIO(data), manifest).json())


@pytest.mark.parametrize("form", FORMATS)
def test_every_file_of_an_export_is_signed(tmp_path, form):
    """Of an imagefolder each image."""
    certificate, key = write_credentials(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    rows = write_planned_run(LocalStorage(str(tmp_path / "run")), 8)
    words = ("--format", form, "--output", str(tmp_path / "export"), "--split", "train=1")
    signed = (str(tmp_path / "run"), *words, "--c2pa-certificate", str(certificate), "--c2pa-key", str(key))
    done = CliRunner().invoke(main, signed, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    manifests = sorted((tmp_path / "export").rglob("*.c2pa"))
    kinds = len(FORMATS[form].kinds)
    assert len(manifests) == (len(rows) * len(IMAGE_COLUMNS) + kinds if form == "imagefolder" else kinds)
    for beside in manifests:
        path = beside.with_suffix("")
        manifest, media_type = beside.read_bytes(), MEDIA_TYPES[path.suffix[1:]]
        found = read(path.read_bytes(), manifest, media_type)
        assert found["validation_state"] == "Valid"  # its authority is made up, so that it is not "Trusted"
        active = found["manifests"][found["active_manifest"]]
        assert active["signature_info"]["issuer"] == "A maker of datasets" and active["title"] == path.name
        assert "trainedAlgorithmicMedia" in json.dumps(active["assertions"])
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    assert read(bytes(changed), manifest, media_type)["validation_state"] == "Invalid"


def test_keys_of_other_kinds(tmp_path):
    signer = Signer(*write_credentials(tmp_path, ed25519.Ed25519PrivateKey.generate()))
    (tmp_path / "x.tar").write_bytes(b"x" * 100)
    manifest = signer.sign(tmp_path / "x.tar", "application/x-tar", "trainedAlgorithmicMedia").read_bytes()
    assert read(b"x" * 100, manifest, "application/x-tar")["validation_state"] == "Valid"
    assert not list(tmp_path.glob("*.tmp"))


def test_what_cannot_sign_is_one_line(tmp_path):
    certificate, key = write_credentials(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ConfigError, match="both or neither"):
        load_signer(certificate, None)
    with pytest.raises(ConfigError, match="missing.pem"):
        load_signer(certificate, tmp_path / "missing.pem")
    key.write_text("no key")
    with pytest.raises(ConfigError, match="--c2pa-key .*key.pem: "):
        load_signer(certificate, key)

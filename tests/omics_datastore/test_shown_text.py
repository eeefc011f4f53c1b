"""What is shown of a text of others: no secret of it, and nothing that steers a terminal or a spreadsheet."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.shown_text import SECRET_VARIABLES, masked, printable, spreadsheet_text, without_secrets

HIDDEN = [
    "https://user:{}@host/a.h5ad",
    "gs://{}@bucket/a",
    "https:/user:{}@host/a.h5ad",
    "postgresql+psycopg2://dagster:p@{}@10.0.0.3:5432/dagster",
    "https://host/a.h5ad?X-Goog-Algorithm=GOOG4&X-Goog-Signature={}&x=1",
    "https://host/a?X-Goog-Credential={}",
    "https://bucket.s3/a?AWSAccessKeyId={}&Signature={}",
    "https://blob/a?sv=2020&sig={}",
    "https://host/a?access_token={}#fragment",
    "https://host/a;token={}",
    "https://host/a#id_token={}",
    "HTTPSConnectionPool(host='h', port=443): Max retries exceeded with url: /a?key={} (Caused by X)",
    "{{'Authorization': 'Bearer {}', 'Accept': '*/*'}}",
    "authorization: Basic {}",
    "a bearer {} was refused",
]
PLAIN = [
    "gs://bucket/some/prefix/a.h5ad",
    "bigquery://project/dataset?location=EU&maximum_bytes_billed=5",
    "lung@0123456789ab of inbox/lung/a.h5ad",
    "Publication: https://doi.org/10.1/2 Dataset Version: https://datasets.cellxgene.cziscience.com/x.h5ad curated",
    "tissue == lung & donor_id=key",
    "write counts@layers, e.g. http://host/a@b",
]


@pytest.mark.parametrize("text", HIDDEN)
def test_secrets_are_masked(text: str) -> None:
    written = text.format(*["s3cr/et".replace("/", "")] * 2)
    assert "s3cret" in written
    assert "s3cret" not in masked(written)
    assert "***" in masked(written)
    for kind in (InputError, CorruptionError):
        assert "s3cret" not in str(kind(f"it failed for {written}."))


@pytest.mark.parametrize("text", PLAIN)
def test_other_text_stays(text: str) -> None:
    assert masked(text) == text


def test_what_the_environment_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRET_VARIABLES:
        monkeypatch.setenv(name, f"value-of-{name}")
        assert masked(f"cannot use 'value-of-{name}'.") == "cannot use '***'."
    monkeypatch.setenv(SECRET_VARIABLES[0], "a")  # too short to be one
    assert masked("a lung") == "a lung"
    assert without_secrets({SECRET_VARIABLES[1]: "b", "PATH": "/bin"}) == {"PATH": "/bin"}


@given(st.text())
def test_nothing_steers_a_terminal(text: str) -> None:
    shown = printable(text)
    assert not [char for char in shown if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")]
    shown.encode()
    if shown != text:
        assert "\\u" in shown
    kept = printable(text, keep="\n")
    assert kept.count("\n") == text.count("\n")


def test_what_is_written_in_place_of_controls() -> None:
    assert printable("a\x1b[2Jb\u202ec\udce9\x9b") == "a\\u001b[2Jb\\u202ec\\udce9\\u009b"
    assert printable("Łódź 肺 👩‍🔬 a\u00a0b") == "Łódź 肺 👩‍🔬 a\u00a0b"


@given(st.text())
def test_no_cell_is_a_formula(text: str) -> None:
    shown = spreadsheet_text(text)
    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert shown.removeprefix("'") == text.removeprefix("'") or shown == text

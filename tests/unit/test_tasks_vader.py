"""The four domains of vaderSentiment's archive, which `make env` keeps beside the packages."""

import pytest

from prehoc.errors import InputError
from prehoc.tasks import vader


def test_rows_are_those_of_the_paper():
    """Hutto and Gilbert 2014, table 3: 10,605 + 3,708 + 5,190 + 4,200 snippets, without those rated 0."""
    frame = vader.vader_domains()
    counts = frame["domain"].value_counts().to_dict()
    assert counts == {"movies": 10568, "products": 3610, "editorials": 4946, "tweets": 4196}
    assert frame["score"].between(-4, 4).all()
    assert ((frame["score"] > 0) == (frame["label"] == 1)).all()
    assert frame["text"].str.len().min() > 0


def test_a_missing_or_another_archive_is_named(tmp_path, monkeypatch):
    path = tmp_path / vader.ARCHIVE
    monkeypatch.setattr(vader, "archive", lambda: path)
    with pytest.raises(InputError, match=r"vader-domains: no .*make env"):
        vader.vader_domains()
    path.write_bytes(b"PK")
    with pytest.raises(InputError, match=r"is not that of 0\.5; delete it"):
        vader.vader_domains()

"""What the tests of conversion share: a config of the tiny HuBERT."""

import json

import pytest

TINY_CONFIG = {"preset": "hubert_tiny", "classes": ["a", "b", "c"]}


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(TINY_CONFIG))
    return path

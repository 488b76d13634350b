"""`classify --class_names`: bad flags, names and templates are one sentence before the work."""

import pytest

from dhauds_jax.runs import named_flags
from dhauds_jax.runs.classify import classify
from dhauds_jax.runs.requests.classify import ClassifyRun
from tests.runs.named import make_place, run_of


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_place(tmp_path_factory.mktemp("named"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": "absent.txt"}, "--class_names=absent.txt: cannot be read"),
        ({"class_names": None, "background_text": "park"}, "--background_text: needs classes by name"),
        ({"background_text": "park", "background_quiet": True}, "--background_text and --background_quiet: both say"),
        ({"background_text": "park", "background_weight": "much"}, "--background_weight: 'much', expected a number"),
        ({"background_text": "park", "scorer": "plain"}, "scorer plain takes no background off"),
        ({"scorer": "subtract"}, "takes a background off, expected one of --background_text"),
        ({"scorer": "treff"}, "treff needs labelled clips"),
        ({"background_text": " "}, "--background_text: is empty"),
        ({"background_dir": "absent"}, "--background_dir=absent: no such folder"),
        ({"class_names": None, "template": "hf"}, "--template: needs classes by name"),
        ({"background_weight": "0.8"}, "--background_weight: there is no background"),
        ({"scorer": "centre", "online": True}, "--online: --scorer=centre looks at all recordings before the first"),
        ({"scorer": "chain:whiten+em", "online": True}, r"--online: --scorer=chain:whiten\+em looks at all"),
        ({"background_quiet": True, "online": True}, "--online: --background_quiet looks at all recordings"),
        ({"template": "a sound"}, "unknown template 'a sound'"),
        ({"scale": "agreement"}, "template laion is one sentence"),
        (
            {"class_names": None, "reject": 0.1, "known_dir": "park"},
            "--known_dir: is for classes by name, expected --class_names=FILE beside it; other classifiers have",
        ),
        ({"reject": 0.1}, "sentences have no held-out clips of their classes, expected --known_dir=FOLDER"),
        ({"known_dir": "park"}, "--known_dir: sets the threshold of unknown, expected --reject=0.05"),
        ({"reject": 0.1, "known_dir": "absent"}, "--known_dir=absent: no such folder"),
        ({"template_weights": "entropy"}, "--template_weights=entropy: template laion is one sentence"),
        ({"template_weights": "entropy", "online": True}, "--online: --template_weights=entropy looks at all"),
        ({"reject_background": 0.1}, "--reject_background: needs recordings of the background"),
        ({"checkpoint": "words15"}, "expected a folder of an audio-text model|is a classifier"),
    ],
)
def test_bad_flags_are_one_sentence_before_the_work(place, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        classify(run_of(place, tmp_path / "out", **changes), "classify")
    assert not (tmp_path / "out" / "predictions.csv").exists()


def test_flags_that_say_nothing_name_no_results(place, tmp_path):
    """Outputs of before these flags go on; a rate of 0 is a rate."""
    base = ClassifyRun(checkpoint="c", audio_dir="a", output="o")
    assert named_flags.settings(base) == {}
    assert named_flags.settings(base.replace(reject=0.0)) == {"reject": 0.0}
    assert named_flags.settings(run_of(place, tmp_path)) == {
        "template": "laion",
        "background_quiet": False,
        "background_weight": "0.5",
        "scale": "checkpoint",
    }


def test_a_template_file_is_named_in_what_is_wrong_with_it(place, tmp_path):
    own = tmp_path / "mine.txt"
    for text, message in (("no place\n", "no line has {}"), ("a {}\n{} and {}\n", "template 2")):
        own.write_text(text)
        with pytest.raises(ValueError, match=rf"--template={own}: .*{message}"):
            classify(run_of(place, tmp_path / "out", template=str(own)), "classify")


def test_names_are_a_list_of_texts(place):
    import dhauds_jax

    for names in ("dog",):
        with pytest.raises(dhauds_jax.BadInput, match="expected a list of names such as"):
            dhauds_jax.load(place / "clap", class_names=names)

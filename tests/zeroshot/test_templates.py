"""Sentences and class names as texts."""

import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.zeroshot import templates


def test_the_named_templates():
    assert templates.sentences(["dog_bark"], templates.templates("laion")) == ["This is a sound of dog bark"]
    assert templates.sentences(["dog_bark"], templates.templates("hf")) == ["This is a sound of dog bark."]
    assert templates.sentences(["dog_bark", "rain"], templates.templates("bare")) == ["dog bark", "rain"]
    assert len(set(templates.templates("ensemble"))) == 8
    assert all(line.count("{}") == 1 for lines in templates.TEMPLATES.values() for line in lines)


def test_a_file_s_templates_come_template_by_template():
    lines = templates.templates("{} far away\n\n  near {}\n")
    assert lines == ("{} far away", "near {}")
    assert templates.sentences(["a", "b"], lines) == ["a far away", "b far away", "near a", "near b"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("laoin", "unknown template 'laoin': expected laion, .* or a file of lines with {} in each"),
        ("a {}\nno place", "template 2, 'no place', has 0 places {}, expected one"),
        ("{} and {}", "template 1, '{} and {}', has 2 places {}, expected one"),
        ("", "unknown template ''"),
        ("{} in {place}", "template 1, '{} in {place}', has {place}, which nothing fills in .*: expected {} alone"),
        ("{}\n{} far {", "template 2, '{} far {', has {, which"),
        ("{} }", "has }, which nothing"),
        ("a {place}", "unknown template 'a {place}'"),
    ],
)
def test_bad_templates(text, sentence):
    with pytest.raises(BadInput, match=sentence):
        templates.templates(text)


def test_class_names_are_kept_as_they_are_written():
    assert templates.class_names("air_conditioner\n dog bark \nRain\n\n", "classes.txt") == (
        "air_conditioner",
        "dog bark",
        "Rain",
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "classes.txt: holds 0 class names, expected at least two, one a line"),
        ("rain\n", "holds 1 class names"),
        ("rain\n\ndog\n", "line 2 is blank, expected a class name in each"),
        ("rain\n__\ndog\n", "line 2 is blank"),
        ("dog_bark\nrain\nDog  bark\n", "lines 1 and 3 are both 'Dog bark', expected every class once"),
    ],
)
def test_bad_class_files(text, sentence):
    with pytest.raises(BadInput, match=sentence):
        templates.class_names(text, "classes.txt")


def test_the_seed_s_three_sentences_of_a_background():
    assert templates.background_prompts("metro_station") == (
        "This is a sound of metro station",
        "Metro station sounds in the background",
        "This is a sound of metro station in the background",
    )
    assert templates.background_prompts("NYC park")[1] == "Nyc park sounds in the background"
    with pytest.raises(BadInput, match="background '_' has no name"):
        templates.background_prompts("_")


def test_noise_phrases_come_phrase_by_phrase():
    assert templates.noisy_sentences(["dog_bark", "rain"], ["wind", "traffic"]) == [
        "dog bark with wind",
        "rain with wind",
        "dog bark with traffic",
        "rain with traffic",
    ]

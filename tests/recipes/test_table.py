"""The published recipes: they are whole, name what there is, and their numbers are the published ones."""

import inspect
import shlex
from pathlib import Path

import numpy as np
import pytest
from absl import flags

from dhauds_jax.cells import targets
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.command.flags import flags_of, from_flags
from dhauds_jax.data import sets
from dhauds_jax.data.corruptions import CORRUPTIONS, LEVELS
from dhauds_jax.nets import zoo
from dhauds_jax.recipes import checks, tuned
from dhauds_jax.recipes import table as recipes_table
from dhauds_jax.recipes.rows import Roots, adapt_run, command, selected
from dhauds_jax.tta import methods

ROOT = Path(__file__).resolve().parents[2]

# Section 15 of the specification of the published systems: n, mean before, mean after, smallest and largest gain.
PUBLISHED = {
    ("reef_set", "amaut_rs"): (14, 0.7728, 0.8703, "END1-L2", 0.0426, "TST-L2", 0.2552),
    ("reef_set", "conmix_rs"): (12, 0.8455, 0.8824, "TST-L1", 0.0048, "END2-L1", 0.0552),
    ("reef_set", "hubert_base_rs"): (14, 0.7449, 0.7957, "END1-L1", 0.0029, "TST-L1", 0.1169),
    ("speech_commands_v2", "amaut_sc2"): (14, 0.8169, 0.8797, "END2-L2", 0.0140, "WHN-L2", 0.1253),
    ("speech_commands_v2", "conmix_sc2"): (12, 0.8607, 0.8988, "END1-L2", 0.0193, "ENSC-L1", 0.0595),
    ("speech_commands_v2", "hubert_base_sc2"): (14, 0.9171, 0.9501, "END1-L2", 0.0029, "PSH-L2", 0.2093),
    ("urban_sound_8k", "amaut_us8"): (8, 0.5624, 0.6851, "PSH-L1", 0.0317, "TST-L2", 0.1926),
    ("urban_sound_8k", "hubert_base_us8"): (8, 0.5499, 0.6552, "PSH-L1", 0.0217, "TST-L1", 0.2242),
    ("vocal_sound", "amaut_vs"): (14, 0.7802, 0.8727, "PSH-L1", 0.0239, "WHN-L2", 0.1651),
    ("vocal_sound", "hubert_base_vs"): (14, 0.7409, 0.9056, "PSH-L1", 0.0184, "WHN-L1", 0.3275),
}


@pytest.fixture(scope="module")
def dhauds():
    return recipes_table.read("dhauds").rows


def test_the_124_experiments_are_there_once_each(dhauds):
    assert [row.number for row in dhauds] == list(range(1, 125))
    assert len({(row.net, row.dataset, row.corruption, row.level) for row in dhauds}) == 124
    assert {(row.seed, row.evaluation_seed, row.profile, row.draw, row.protocol) for row in dhauds} == {
        (2025, 123456, "reference", "two", "offline")
    }
    assert {row.corruption for row in dhauds} == set(CORRUPTIONS)
    assert {row.level for row in dhauds} == set(LEVELS)


def test_published_means_and_extremes_are_those_of_the_published_table(dhauds):
    found = {}
    for row in dhauds:
        found.setdefault((row.dataset, row.net), []).append(row)
    assert set(found) == set(PUBLISHED)
    for place, (n, before, after, lowest, least, highest, most) in PUBLISHED.items():
        rows = found[place]
        pairs = np.array([(row.published["non_adapted"], row.published["adapted"]) for row in rows])
        assert len(rows) == n
        np.testing.assert_allclose(pairs.mean(0), (before, after), atol=5.001e-5)  # rounded to four decimals
        gains = pairs[:, 1] - pairs[:, 0]
        names = [f"{row.corruption}-{row.level}" for row in rows]
        assert (names[gains.argmin()], names[gains.argmax()]) == (lowest, highest)
        np.testing.assert_allclose((gains.min(), gains.max()), (least, most), atol=5.001e-5)


def test_the_analyses_change_one_option_of_the_published_recipe_each(dhauds):
    published = {
        row.net: dict(row.options) for row in dhauds if row.name.startswith("reef_set/") and "ENQ-L1" in row.name
    }
    rows = recipes_table.read("iom_eolr").rows
    assert [row.net for row in rows] == [net for net in ("amaut_rs", "hubert_base_rs", "conmix_rs") for _ in range(3)]
    for high, low, single in zip(rows[::3], rows[1::3], rows[2::3]):
        recipe = published[low.net]
        assert dict(low.options) == recipe
        assert dict(high.options) == {**recipe, "momentum": "0.9"}
        assert dict(single.options) == {**recipe, "backbone": "1.0"}
        # Section 9 of the specification: the lower momentum peaks a little higher, and so do two rates.
        assert low.published["adapted"] > max(high.published["adapted"], single.published["adapted"])


@pytest.mark.slow
def test_some_recipes_by_hand(dhauds):
    rows = {row.name: row for row in dhauds}
    row = rows["vocal_sound/hubert_base_vs/WHN-L1/dhauds"]
    assert (row.epochs, row.batch_size, row.metric) == (15, 32, "accuracy")
    assert row.published == {"non_adapted": 0.5792258423837371, "adapted": 0.9067112225006961}
    options = dict(row.options)
    assert (options["gent_views"], options["epsilon"]) == ("both", "1e-8")
    sc2 = dict(rows["speech_commands_v2/hubert_base_sc2/PSH-L2/dhauds"].options)
    assert (sc2["gent_views"], sc2["epsilon"]) == ("first_twice", "1e-6")
    # The consistency term of this script is computed and never added.
    assert {dict(r.options)["mse"] for r in dhauds if r.net == "amaut_vs"} == {"0.0"}
    reef = rows["reef_set/amaut_rs/END1-L1/dhauds"]
    expected = dict(lr=1e-4, backbone=0.55, nucnm=1.0, ent=0.5, gent=0.5, q=1.1, mse=0.05, cardinality=40, gamma=10.0)
    expected |= dict(threshold=1, momentum=0.7, weight_decay=1e-3, limit=0.17, classifier_rate=1.0, nesterov=False)
    resolved = methods.resolve_options("dhauds", "reference", dict(reef.options))
    assert {name: resolved[name] for name in expected} == expected
    assert {(r.epochs, r.waits_for) for r in dhauds if r.method == "conmix"} == {(16, ())}
    assert sum(r.method == "conmix" for r in dhauds) == 24
    resolved = methods.resolve_options("conmix", "reference", dict(rows["reef_set/conmix_rs/ENQ-L1/conmix"].options))
    expected = dict(lr=1e-4, backbone=0.1, cls=0.2, cls_mode="logsoft_nll", nucnm=6.0, const=0.2, gamma=30.0)
    expected |= dict(momentum=0.75, early_stop=15, stops_late=True, plr=True, alpha=0.9, alpha_term="index")
    assert {name: resolved[name] for name in expected} == expected
    other = {row.name: row for row in recipes_table.read("tta_in_ac").rows if row.method == "conmix"}
    row = other["audio_mnist/german_accent/conmix_am/UNI-0.005+random_pad/conmix"]
    resolved = methods.resolve_options("conmix", "reference", dict(row.options))
    expected = dict(lr=5e-4, cls=1.0, cls_mode="logsoft_ce", nucnm=4.0, gamma=10.0, early_stop=0, nesterov=True)
    assert {name: resolved[name] for name in expected} == expected and row.waits_for == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"),
    [("dhauds", 124), ("iom_eolr", 9), ("ntta", 33), ("amaut", 9), ("tta_in_ac", 216), ("synthetic", 16)],
)
def test_rows_name_what_there_is_or_what_they_wait_for(name, count):
    rows = recipes_table.read(name).rows
    assert len(rows) == count
    for row in rows:
        for value, known in ((row.dataset, sets.REGISTRY), (row.net, zoo.names()), (row.method, methods.METHODS)):
            assert value in known or checks.excused(value, row.waits_for), (row.number, value)
        if row.method in methods.METHODS:
            taken = inspect.signature(methods.factory(row.method)).parameters
            assert {option for option, _ in row.options} <= set(taken), row.number
        assert row.source
    text = (recipes_table.FOLDER / f"{name}.csv").read_text()
    assert text.startswith("# ")


@pytest.mark.slow
def test_earlier_systems_have_their_published_numbers():
    rows = {(r.source, r.name): r for r in recipes_table.read("tta_in_ac").rows if r.published["adapted"] is not None}
    cnn = "audio_mnist/german_accent/tta_in_ac_cnn_am/SCN-doing_the_dishes@10dB+random_pad"
    norm, tent = (rows["TTA-in-AC 2fa9939", f"{cnn}/{method}"] for method in ("norm", "tent"))
    assert (norm.published, tent.published) == (
        {"non_adapted": 0.1695, "adapted": 0.5815},
        {"non_adapted": 0.1695, "adapted": 0.6085},
    )
    assert (tent.batch_size, tent.protocol, dict(tent.options)["b2"]) == (200, "online", "0.99")
    folds = [r for r in recipes_table.read("amaut").rows if r.dataset.startswith("audio_mnist")]
    assert [r.published["non_adapted"] for r in folds] == [0.999333, 0.9975, 0.999667, 0.996833, 0.9925]
    assert {(r.corruption, r.level) for r in recipes_table.read("amaut").rows} == {("clean", "-")}
    ntta = [r for r in recipes_table.read("ntta").rows if r.source == "DHAuDS 382c301"]
    assert [(r.method, r.level, dict(r.options)["loss"]) for r in ntta] == [
        ("ntta", "doing_the_dishes@3dB", "code")
    ] * 2


HEADER = "dataset,net,corruption,level,method,epochs,batch_size,seed,metric,published_adapted,waits_for,lr,group"
GOOD = "synthetic,amaut_tiny,WHN,L1,tent,2,8,0,accuracy,0.5,,1e-3,batch_norm"


def table(folder, *rows, header=HEADER):
    path = folder / "mine.csv"
    path.write_text("\n".join(["# mine", header, *rows]) + "\n")
    return str(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("synthetic", "sythetic", r"row 2, column dataset: unknown dataset 'sythetic', expected one of arabic"),
        ("amaut_tiny", "amaut_tny", r"row 2, column net: unknown net 'amaut_tny'"),
        ("WHN", "WNH", r"row 2, column corruption: unknown corruption 'WNH'"),
        ("L1", "L3", r"row 2, column level: unknown level 'L3': expected L1 or L2"),
        ("WHN,L1", "SCN,rain@3dB", r"row 2, column level: unknown level 'rain@3dB' of SCN"),
        ("WHN,L1", "clean,L1", r"row 2, column level: is 'L1', expected - for clean"),
        ("tent", "tnt", r"row 2, column method: unknown method 'tnt'"),
        (",2,8,", ",0,8,", r"row 2, column epochs: is '0', expected a whole number, at least 1"),
        (",2,8,", ",2,1,", r"row 2, column batch_size: is '1', expected a whole number, at least 2"),
        (",8,0,", ",8,-1,", r"row 2, column seed: is '-1', expected a whole number, at least 0"),
        (",8,0,", ",8,,", r"row 2, column seed: is empty, expected a value"),
        ("accuracy", "macro_f1", r"row 2, column metric: is 'macro_f1', expected accuracy, the metric of synthetic"),
        (",0.5,", ",90.7,", r"row 2, column published_adapted: is '90.7', expected a fraction from 0 to 1"),
        ("1e-3", "fast", r"row 2, column lr: method tent: option lr is 'fast', expected a float"),
        ("1e-3", "-1", r"row 2, column lr: method tent: option lr=-1\.0: expected a finite number of at least 0"),
        ("1e-3", "nan", r"row 2, column lr: method tent: option lr=nan: expected a finite number of at least 0"),
        (",batch_norm", ",batchnorm,x", r"row 2: has 14 cells, expected 13 as in the header"),
    ],
)
def test_a_bad_row_gets_one_sentence_with_file_row_and_column(tmp_path, old, new, message):
    assert GOOD.count(old) >= 1
    path = table(tmp_path, GOOD, GOOD.replace(old, new, 1))
    with pytest.raises(ValueError, match=rf"mine\.csv, {message}") as caught:
        recipes_table.read(path)
    assert "\n" not in str(caught.value)


FOREIGN = (
    "tests.data.foreign:ON_DISK/turned,tests.nets.foreign:tiny,tests.data.foreign:ECHO,5ms,tests.tta.foreign:nudge,"
    "1,8,0,,,,0.2,,tests.tta.foreign:THINNED"
)


def test_a_row_may_name_a_users_own_code(tmp_path):
    (row,) = recipes_table.read(table(tmp_path, FOREIGN, header=f"{HEADER},protocol")).rows
    run = adapt_run(row, Roots(data="data", noise=None, checkpoint="nets"), "out")
    assert run.corruption == ("tests.data.foreign:ECHO:5ms",) and targets.expand(run.corruption, run.level) == [
        ("tests.data.foreign:ECHO", "5ms")
    ]
    assert (row.metric, run.options, run.protocol) == ("accuracy", ("lr=0.2",), ("tests.tta.foreign:THINNED",))
    assert run.data_dir == "data/tests.data.foreign.ON_DISK"
    assert run.checkpoint == "nets/tests.nets.foreign.tiny_tests.data.foreign.ON_DISK_turned"
    for old, new, message in (
        ("ECHO,5ms", "ECHO,3s", "column level: unknown level '3s' of ECHO"),
        ("foreign:ECHO", "foreign:ECHOES", "column corruption: .*has no 'ECHOES'"),
        ("foreign:nudge", "foreign:NOT_A_FACTORY", "column method: .* is an int, expected a factory"),
        ("foreign:tiny", "foreign:NUMBER", "column net: .* gives an int, expected a function"),
        ("ON_DISK/turned", "ON_DISK/turnd", "column dataset: unknown data set"),
        ("0.2", "fast", "column lr: method tests.tta.foreign:nudge: option lr is 'fast', expected a float"),
    ):
        with pytest.raises(ValueError, match=message):
            recipes_table.read(table(tmp_path, FOREIGN.replace(old, new), header=f"{HEADER},protocol"))


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (HEADER.replace("level,", ""), GOOD, "its header lacks the columns level, expected dataset, net"),
        (HEADER + ",lr", GOOD + ",1", "its header has two columns of one name"),
        (HEADER + ",speed", GOOD + ",1", "row 1, column speed: method tent has no option 'speed'"),
        (HEADER + ",evaluate", GOOD + ",never", "row 1, column evaluate: unknown evaluate of method tent 'never'"),
        (HEADER + ",protocol", GOOD + ",continual", "row 1, column protocol: unknown protocol 'continual'"),
        (HEADER + ",protocol.reset", GOOD + ",", "no refusal"),
        (HEADER + ",protocol.order", GOOD + ",x", "column protocol.order: protocol offline has no option 'order'"),
    ],
)
def test_a_bad_header_or_option_is_named(tmp_path, header, row, message):
    path = table(tmp_path, row, header=header)
    if message == "no refusal":
        assert recipes_table.read(path).rows[0].protocol_options == ()
        return
    with pytest.raises(ValueError, match=message):
        recipes_table.read(path)


def test_a_table_from_excel_is_read(tmp_path):
    """Which puts a byte order mark before the text, and ends its lines in its own way."""
    path = tmp_path / "mine.csv"
    path.write_bytes(f"\ufeff{HEADER}\r\n{GOOD}\r\n".encode())
    assert recipes_table.read(str(path)).rows[0].dataset == "synthetic"
    path.write_bytes("\ufeffmethod,option,value,score\r\ntent,lr,0.005,0.7\r\n".encode())
    assert tuned.read(path) == {"tent": ["lr=0.005"]}


def test_a_table_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"--recipes=nothing: no such file, expected one of dhauds, .*ntta"):
        recipes_table.read("nothing")
    with pytest.raises(ValueError, match=r"mine\.csv: has no rows"):
        recipes_table.read(table(tmp_path))


def test_what_a_row_waits_for_excuses_its_family_alone(tmp_path):
    waiting = GOOD.replace("amaut_tiny", "vggish_tiny").replace("tent", "vggish").replace(",0.5,,", ",0.5,vggish,")
    (row,) = recipes_table.read(table(tmp_path, waiting)).rows
    assert row.waits_for == ("vggish",)
    with pytest.raises(ValueError, match="column net: unknown net 'vggished'"):
        recipes_table.read(table(tmp_path, waiting.replace("vggish_tiny", "vggished")))


def test_remarks_and_published_numbers_do_not_make_another_table(tmp_path):
    first = recipes_table.read(table(tmp_path, GOOD))
    assert recipes_table.read(table(tmp_path, GOOD.replace("0.5", "0.6"))).digest == first.digest
    assert recipes_table.read(table(tmp_path, GOOD.replace("1e-3", "1e-2"))).digest != first.digest


@pytest.mark.parametrize(
    ("patterns", "count"),
    [
        (["SpeechCommandsV2/HuBERT/*"], 14),
        (["speech_commands_v2/hubert_base/*"], 14),
        (["speech_commands_v2/hubert_base_sc2/*/dhauds"], 14),
        (["speechcommandsv2/hubert"], 14),
        (["*/AMAuT/WHN-*/*", "UrbanSound8K/*"], 8 + 16 - 2),
        (["*/TST-L1/conmix"], 2),
        (["reef_set"], 40),
        ([], 124),
    ],
)
def test_only_takes_our_names_and_the_published(dhauds, patterns, count):
    assert len(selected(dhauds, patterns, "1/1")) == count


def test_shards_are_disjoint_whole_and_of_one_size(dhauds):
    parts = [selected(dhauds, ["*/hubert/*"], f"{i}/8") for i in range(1, 9)]
    assert sorted(row.number for part in parts for row in part) == [r.number for r in dhauds if "hubert" in r.net]
    assert {len(part) for part in parts} == {6, 7}
    assert [r.number for r in selected(dhauds, [], "2/8")][:2] == [2, 10]
    for shard in ("0/8", "9/8", "two", "1/0", "8"):
        with pytest.raises(ValueError, match=f"--shard={shard}: expected I/N"):
            selected(dhauds, [], shard)
    with pytest.raises(
        ValueError, match=r"--only=mnist/\*: matches none of the 124 rows, which are named like reef_set/"
    ):
        selected(dhauds, ["mnist/*"], "1/1")


def test_variants_share_a_data_folder_and_have_checkpoints_of_their_own(tmp_path):
    roots = Roots("data", None, str(tmp_path))
    row = next(r for r in recipes_table.read("amaut").rows if r.dataset == "audio_mnist/fold1")
    assert roots.data_dir(row) == Path("data/audio_mnist")
    assert roots.checkpoint_dir(row) == tmp_path / "amaut_audiomnist_audio_mnist_fold1"
    inside = tmp_path / row.folder / "checkpoint"
    inside.mkdir(parents=True)
    assert roots.checkpoint_dir(row) == inside
    synthetic = recipes_table.read("synthetic").rows[0]
    assert roots.data_dir(synthetic) is None


@pytest.mark.slow
def test_every_command_is_understood_as_the_run_that_it_stands_for():
    roots = Roots("data root", "noise", "checkpoints")
    runs = [adapt_run(row, roots, "out") for name in recipes_table.NAMES for row in recipes_table.read(name).rows]
    values = flags.FlagValues()
    flags_of(AdaptRun, values=values)
    for run in runs:
        values.unparse_flags()
        for name in AdaptRun.names():
            values[name].unparse()
        values(shlex.split(command(run))[2:])
        assert from_flags(AdaptRun, values) == run

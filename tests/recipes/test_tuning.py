"""The tuning rule on made-up methods: it finds a known best value, and keeps the default of a harmful method."""

import math

import pytest

from dhauds_jax.recipes import tuned
from dhauds_jax.recipes.tuning import MOST, REASONS, Trial, search

FLOOR = Trial({"lr": 0.0}, (0.5, 0.5, 0.5), (2.0, 2.0, 2.0))
RATES = tuned.Line("lr", (3e-4, 1e-3, 5e-3, 2.5e-2), 5.0)
DEFAULT = {"lr": 1e-3, "statistics": "running", "k": 5}


def of(score, nll=1.0, collapses=lambda value: False, asked=None):
    """A method whose accuracy and NLL at a rate are known; `asked` is filled with the rates that were tried."""

    def run(options):
        if asked is not None:
            asked.append(options["lr"])
        value = options["lr"]
        loss = nll(value) if callable(nll) else nll
        return Trial(options, (score(value),) * 3, (loss,) * 3, (collapses(value),) * 3)

    return run


def peak_at(best):
    """0.9 at the best rate, less by 0.1 for each factor of five away from it."""
    return lambda lr: 0.9 - 0.1 * abs(math.log(lr / best, 5))


@pytest.mark.parametrize(
    ("best", "tried"),
    [
        (5e-3, [3e-4, 1e-3, 5e-3, 2.5e-2]),
        (0.625, [3e-4, 1e-3, 5e-3, 2.5e-2, 0.125, 0.625, 3.125]),
        (1.2e-5, [3e-4, 1e-3, 5e-3, 2.5e-2, 6e-5, 1.2e-5, 2.4e-6]),
    ],
)
def test_a_known_best_value_is_found_beyond_the_first_ones_too(best, tried):
    asked = []
    choice = search((RATES,), of(peak_at(best), asked=asked), DEFAULT, FLOOR)
    assert choice.trial.options == {"lr": best}
    assert choice.trial.scores == pytest.approx((0.9,) * 3, abs=1e-12)
    assert choice.why == "best"
    assert asked == tried


def test_a_harmful_method_keeps_its_default_and_no_lower_rate_is_hunted_for():
    """Every rate is worse than rate 0, the lower the better: the lowest would win, and lower ones after it."""
    asked = []
    choice = search((RATES,), of(lambda lr: 0.5 - lr, asked=asked), DEFAULT, FLOOR)
    assert (choice.trial.options, choice.why) == ({"lr": 1e-3}, "harm")
    assert asked == list(RATES.values)


def test_equal_accuracies_are_told_apart_by_nll_and_equal_ones_keep_the_default():
    by_nll = search((RATES,), of(lambda lr: 0.6, nll=lambda lr: abs(lr - 5e-3)), DEFAULT, FLOOR)
    assert (by_nll.trial.options, by_nll.why) == ({"lr": 5e-3}, "best")
    idle = search((RATES,), of(lambda lr: 0.6), DEFAULT, FLOOR)
    assert (idle.trial.options, idle.why, len(idle.trials)) == ({"lr": 1e-3}, "default", 4)


def test_likelihoods_that_differ_by_less_than_chance_are_equal():
    """An idle method's NLL moves by 1e-7 nats: it neither climbs its grid to the end nor beats its floor."""
    asked = []
    idle = search((RATES,), of(lambda lr: 0.5, nll=lambda lr: 2.0 - 1e-4 * lr, asked=asked), DEFAULT, FLOOR)
    assert (idle.trial.options, idle.why, asked) == ({"lr": 1e-3}, "harm", list(RATES.values))
    better = search((RATES,), of(lambda lr: 0.6, nll=lambda lr: 2.0 - 1e-4 * lr), DEFAULT, FLOOR)
    assert (better.trial.options, better.why, len(better.trials)) == ({"lr": 1e-3}, "default", 4)
    of_two = search((RATES,), of(lambda lr: 0.6, nll=lambda lr: 1.0 if lr < 4e-3 else 0.9 - 1e-3 * lr), DEFAULT, FLOOR)
    assert of_two.trial.options == {"lr": 5e-3}, "the first of those that beat the default"
    enough = search((RATES,), of(lambda lr: 0.5, nll=lambda lr: 2.0 - 2e-3 * (lr == 5e-3)), DEFAULT, FLOOR)
    assert (enough.trial.options, enough.why) == ({"lr": 5e-3}, "best")


def test_what_collapses_or_diverges_cannot_win_whatever_its_score():
    """A rate that makes a trial look good and takes all clips into one class is what the older rule chose."""
    rising = of(lambda lr: 0.6 + lr, collapses=lambda lr: lr > 1e-3)
    assert search((RATES,), rising, DEFAULT, FLOOR).trial.options == {"lr": 1e-3}

    def diverging(options):
        return Trial(options, ()) if options["lr"] > 1e-3 else of(lambda lr: 0.6 + lr)(options)

    assert search((RATES,), diverging, DEFAULT, FLOOR).trial.options == {"lr": 1e-3}


def test_one_collapsed_seed_is_enough():
    def run(options):
        return Trial(options, (0.9, 0.9, 0.9) if options["lr"] > 0.02 else (0.6,) * 3, (1.0,) * 3,
                     (False, False, options["lr"] > 0.02))  # fmt: skip

    assert search((RATES,), run, DEFAULT, FLOOR).trial.options == {"lr": 1e-3}


def test_where_all_first_values_collapse_lower_ones_are_tried_and_at_last_the_default_stays():
    asked = []
    choice = search((RATES,), of(lambda lr: 0.7, collapses=lambda lr: lr > 1e-5, asked=asked), DEFAULT, FLOOR)
    assert asked[4:] == [6e-5, 1.2e-5, 2.4e-6, 4.8e-7], "the last one is no better"
    assert (choice.trial.options, choice.why) == ({"lr": 2.4e-6}, "best")
    never = search((RATES,), of(lambda lr: 0.7, collapses=lambda lr: True), DEFAULT, FLOOR)
    assert (never.trial.options, never.why, len(never.trials)) == ({"lr": 1e-3}, "collapse", MOST)


def test_a_default_that_collapses_gives_way_even_where_all_do_harm():
    choice = search((RATES,), of(lambda lr: 0.4, collapses=lambda lr: lr == 1e-3), DEFAULT, FLOOR)
    assert (choice.trial.options, choice.why) == ({"lr": 3e-4}, "harm")


def test_a_grid_ends_after_so_many_trials():
    choice = search((RATES,), of(lambda lr: lr), DEFAULT, Trial({}, (0.0,), (0.0,)))
    assert len(choice.trials) == MOST
    assert choice.trial.options == {"lr": pytest.approx(2.5e-2 * 5**6)}


def test_lines_of_other_options_go_on_within_their_limits_and_a_single_trial_does_not():
    space = tuned.SPACES["lame"]
    asked = []

    def run(options):
        asked.append(dict(options))
        return Trial(options, (0.9 - 0.1 * options["k"] / 9 if "k" in options else 0.2,), (1.0,))

    choice = search(space, run, {"statistics": "running", "k": 5}, FLOOR._replace(scores=(0.1,)))
    assert [o.get("k") for o in asked] == [None, 1, 5, 9], "below one neighbour there is nothing"
    assert choice.trial.options == {"statistics": "batch", "k": 1}
    running = search(space, lambda o: Trial(o, (0.2 if "k" in o else 0.3,), (1.0,)), DEFAULT, FLOOR)
    assert running.trial.options == {"statistics": "running"}
    assert running.why == "harm", "the floor is 0.5"


def test_a_method_that_never_gives_finite_numbers_is_said_to_diverge():
    choice = search((RATES,), lambda options: Trial(options, ()), DEFAULT, FLOOR)
    assert choice.diverged
    assert set(REASONS) == {"best", "default", "harm", "collapse"}

"""CMA-ES: a generation by hand, and quadratics whose optimum and shape are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import cma_es

DIM, POPULATION = 4, 8


def by_hand(guesses, fitness, search):
    """One generation of the tutorial in float64, written with C^(-1/2); `search` = (m, sigma, C, pc, ps, g)."""
    m, sigma, c, pc, ps, g = search
    raw = np.log(4.5) - np.log(np.arange(1, 5))
    w = raw / raw.sum()
    mueff = 1 / (w**2).sum()
    cs = (mueff + 2) / (DIM + mueff + 5)
    cc = (4 + mueff / DIM) / (DIM + 4 + 2 * mueff / DIM)
    c1 = 2 / ((DIM + 1.3) ** 2 + mueff)
    cmu = min(1 - c1, 2 * (mueff - 2 + 1 / mueff) / ((DIM + 2) ** 2 + mueff))
    damps = 1 + 2 * max(0, np.sqrt((mueff - 1) / (DIM + 1)) - 1) + cs
    chi = np.sqrt(DIM) * (1 - 1 / (4 * DIM) + 1 / (21 * DIM**2))
    values, axes = np.linalg.eigh(c)
    root = axes @ np.diag(values**-0.5) @ axes.T
    y = (guesses[np.argsort(fitness)[:4]] - m) / sigma
    yw = w @ y
    ps = (1 - cs) * ps + np.sqrt(cs * (2 - cs) * mueff) * root @ yw
    h = np.linalg.norm(ps) / np.sqrt(1 - (1 - cs) ** (2 * (g + 1))) < (1.4 + 2 / (DIM + 1)) * chi
    pc = (1 - cc) * pc + h * np.sqrt(cc * (2 - cc) * mueff) * yw
    several = sum(wi * np.outer(yi, yi) for wi, yi in zip(w, y, strict=True))
    c = (1 - c1 - cmu) * c + c1 * (np.outer(pc, pc) + (1 - h) * cc * (2 - cc) * c) + cmu * several
    return m + sigma * yw, sigma * np.exp((cs / damps) * (np.linalg.norm(ps) / chi - 1)), c, pc, ps, g + 1


def test_three_generations_by_hand():
    a, target = np.diag([1.0, 4.0, 25.0, 100.0]), np.array([1.0, -2.0, 0.5, 3.0])
    tell = jax.jit(cma_es.tell, static_argnums=3)
    search = cma_es.begin(DIM, 0.7)
    known = (np.zeros(DIM), 0.7, np.eye(DIM), np.zeros(DIM), np.zeros(DIM), 0)
    for generation in range(3):
        guesses = np.asarray(cma_es.ask(search, jax.random.key(generation), POPULATION), np.float64)
        fitness = np.einsum("gi,ij,gj->g", guesses - target, a, guesses - target)
        search = tell(search, jnp.asarray(guesses, jnp.float32), jnp.asarray(fitness, jnp.float32), POPULATION)
        known = by_hand(guesses, fitness, known)
        for found, wanted in zip(search, known, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5)


def test_a_turned_quadratic_is_solved_and_its_shape_is_learnt():
    """Axes 1 to 100 in size, turned: the optimum to 1e-3, and the covariance is the inverse of the form."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(DIM, DIM)))[0]
    form = jnp.asarray(turn @ np.diag([1.0, 5.0, 20.0, 100.0]) @ turn.T, jnp.float32)
    target = jnp.asarray([1.0, -2.0, 0.5, 3.0])

    def fitness(x):
        away = x - target[None]
        return jnp.einsum("gi,ij,gj->g", away, form, away)

    def one(search, key):
        guesses = cma_es.ask(search, key, POPULATION)
        return cma_es.tell(search, guesses, fitness(guesses), POPULATION), search.covariance

    keys = jax.random.split(jax.random.key(1), 120)
    search, shapes = jax.jit(lambda: jax.lax.scan(one, cma_es.begin(DIM, 1.0), keys))()
    np.testing.assert_allclose(search.mean, target, atol=1e-3)
    # While it still moves its guesses spread as the form allows: C times the form is nearly a multiple of 1.
    product = np.asarray(shapes[80], np.float64) @ np.asarray(form, np.float64)
    values = np.abs(np.linalg.eigvals(product))
    assert values.max() / values.min() < 20  # 100 at the start
    assert float(search.sigma) < 1e-2


def test_what_is_no_number_is_worst_and_a_far_guess_is_pulled_in():
    search = cma_es.begin(2, 1.0)
    guesses = jnp.asarray([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    fitness = jnp.asarray([jnp.nan, 1.0, 2.0, jnp.nan])
    known = cma_es.tell(search, guesses, fitness, 4)
    raw = np.log(2.5) - np.log([1, 2])
    np.testing.assert_allclose(known.mean, (raw / raw.sum()) @ [[0, 1], [-1, 0]], rtol=1e-5)
    far = cma_es.tell(search, jnp.asarray([[1e6, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), jnp.arange(4.0), 4)
    assert float(far.mean[0]) == pytest.approx((2**0.5 + 1) * raw[0] / raw.sum(), rel=1e-5)


def test_the_usual_population():
    assert [cma_es.usual_population(dim) for dim in (2, 16, 2304)] == [6, 12, 27]

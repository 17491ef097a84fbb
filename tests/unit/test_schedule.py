import math

import pytest
import torch
from torch import nn

from clslab import schedule
from clslab.recipe import Recipe


def optimizer(lr=1.0):
    return torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=lr)


def rates(sgd, scheduler, times):
    seen = []
    for _ in range(times):
        seen.append(sgd.param_groups[0]["lr"])
        sgd.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize(("warmup", "total"), [(0, 10), (1, 10), (5, 20), (2.5, 10), (9, 10)])
def test_warmup_cosine_is_its_closed_form(warmup, total):
    def factor(time):
        if time < warmup:
            return min(1.0, (time + 1) / warmup)
        return 0.5 * (1 + math.cos(math.pi * (time - warmup) / (total - warmup)))

    sgd = optimizer(0.3)
    seen = rates(sgd, schedule.warmup_cosine(sgd, warmup=warmup, total=total), total)
    assert seen == pytest.approx([0.3 * factor(time) for time in range(total)], abs=1e-12)
    assert seen[0] > 0
    assert max(seen) <= 0.3


def test_warmup_cosine_stays_at_zero_beyond_the_end():
    sgd = optimizer()
    seen = rates(sgd, schedule.warmup_cosine(sgd, warmup=1, total=4), 8)
    assert seen[4:] == pytest.approx([0.0] * 4, abs=1e-12)


@pytest.mark.parametrize(("warmup", "total"), [(-1, 10), (10, 10), (11, 10), (0, 0)])
def test_a_warmup_that_does_not_fit_is_refused(warmup, total):
    with pytest.raises(ValueError, match=f"warmup = {warmup} and total = {total}"):
        schedule.warmup_cosine(optimizer(), warmup=warmup, total=total)


def test_the_warmup_of_a_recipe_is_in_epochs():
    sgd = optimizer()
    recipe = Recipe(schedule="cosine", warmup=2, epochs=10)
    seen = rates(sgd, schedule.create(recipe, sgd, total=50), 50)
    assert seen[:10] == pytest.approx([(time + 1) / 10 for time in range(10)])
    assert seen[10] == 1.0


def test_step_is_torchs_own():
    sgd = optimizer()
    recipe = Recipe(schedule="step", schedule_options={"step_size": 2, "gamma": 0.5}, epochs=5)
    assert schedule.unit(recipe) == "epoch"
    assert rates(sgd, schedule.create(recipe, sgd, total=500), 5) == [1, 1, 0.5, 0.5, 0.25]


def test_constant_is_no_scheduler_unless_it_warms_up():
    sgd = optimizer()
    assert schedule.create(Recipe(schedule="constant"), sgd, total=10) is None
    recipe = Recipe(schedule="constant", warmup=1, epochs=2)
    assert schedule.unit(recipe) == "step"
    assert rates(sgd, schedule.create(recipe, sgd, total=8), 6) == [0.25, 0.5, 0.75, 1, 1, 1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule": "poly"}, "unknown schedule 'poly'; known are constant"),
        ({"schedule": "cosine", "schedule_options": {"gamma": 1}}, "'cosine' knows no options"),
        ({"schedule": "step"}, "needs schedule_options"),
        ({"schedule": "step", "schedule_options": {"step_size": 0}}, "step_size = 0"),
        ({"schedule": "step", "schedule_options": {"step_size": 1}, "warmup": 1.0}, "does not go"),
    ],
)
def test_wrong_settings_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        schedule.create(Recipe(**fields), optimizer(), total=10)

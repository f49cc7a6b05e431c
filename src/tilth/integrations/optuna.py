"""Choose models with Optuna: the model-centric arm, for `Tune`."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from sklearn.linear_model import LogisticRegression

from tilth.errors import MissingExtra, UsageError
from tilth.functions import find, source_hash, where
from tilth.integrations.sklearn import SklearnModel
from tilth.protocols import Model, Trial

try:
    import optuna
except ImportError as why:
    raise MissingExtra("OptunaSearch", "optuna", extra="tune") from why

__all__ = ["OptunaSearch"]


def example(trial: optuna.Trial) -> SklearnModel:
    """Return a logistic regression of some strength: what a space looks like."""
    return SklearnModel(LogisticRegression(C=trial.suggest_float("C", 1e-3, 10, log=True), max_iter=2000))


@dataclass(frozen=True, repr=False)
class OptunaSearch:
    """A `Tuner` that draws models from a space by Optuna's TPE, in the light of all that were tried.

    >>> search = OptunaSearch(example)
    >>> model, note = search.suggest([], seed=0)
    >>> model.estimator.C == note["params"]["C"]
    True

    `space`: a function at the top level of a file, from an `optuna.Trial` to a model; it names its choices by
    `trial.suggest_float` and the like. `startup`: models drawn at random before the others teach. Every suggestion is a
    function of what was tried and the seed, so a killed run goes on as it would have. UsageError where the space
    returns no model, or makes no choice. Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization; Akiba et
    al. 2019, Optuna.
    """

    space: Callable[[Any], Model]
    startup: int = 10

    def __post_init__(self) -> None:
        if not callable(self.space):
            raise UsageError(f"OptunaSearch(space={self.space!r}): a function from an optuna.Trial to a model")
        where(self.space)
        if not isinstance(self.startup, int) or self.startup < 1:
            raise UsageError(f"OptunaSearch(startup={self.startup!r}): a whole number of 1 or more")

    @property
    def spec(self) -> Mapping[str, Any]:
        """JSON that describes it, the space by name and a hash of its source."""
        return {
            "tuner": "tilth.integrations.optuna:OptunaSearch",
            "space": where(self.space),
            "source": source_hash(self.space),
            "startup": self.startup,
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "OptunaSearch":
        """Build the search that a spec describes."""
        return cls(find(spec["space"]), spec["startup"])

    def suggest(self, tried: Sequence[Trial], *, seed: int) -> tuple[Model, Mapping[str, Any]]:
        """Return the next model, and the choices that made it as JSON."""
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            chance = int(np.random.SeedSequence([seed, len(tried)]).generate_state(1)[0])
            sampler = optuna.samplers.TPESampler(seed=chance, n_startup_trials=self.startup)
            study = optuna.create_study(direction="maximize", sampler=sampler)
            for one in tried:
                if one.note and not np.isnan(one.value):  # the model that a workflow begins with is not of the space
                    study.add_trial(_remembered(one))
            trial = study.ask()
            model = self._model(trial)
            kinds = {name: optuna.distributions.distribution_to_json(d) for name, d in trial.distributions.items()}
        finally:
            optuna.logging.set_verbosity(level)
        said = ", ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in trial.params.items()
        )
        return model, {"said": said, "params": dict(trial.params), "distributions": kinds}

    def _model(self, trial: optuna.Trial) -> Model:
        model = self.space(trial)
        if not isinstance(cast(object, model), Model):
            raise UsageError(
                f"{self!r}: the space returned {type(model).__name__}; it returns a model, such as "
                "SklearnModel(LogisticRegression(C=...))"
            )
        if not trial.params:
            raise UsageError(
                f"{self!r}: the space makes no choice, so every model would be the same; let it ask the trial, by "
                'trial.suggest_float("C", 1e-3, 100, log=True) or the like'
            )
        return model

    def __repr__(self) -> str:
        said = "" if self.startup == 10 else f", startup={self.startup}"
        return f"OptunaSearch({where(self.space).rpartition(':')[2]}{said})"


def _remembered(tried: Trial) -> optuna.trial.FrozenTrial:
    kinds = {name: optuna.distributions.json_to_distribution(d) for name, d in tried.note["distributions"].items()}
    # what was a category went through JSON: a tuple came back as a list
    params = {name: json.loads(json.dumps(value)) for name, value in tried.note["params"].items()}
    return optuna.trial.create_trial(params=params, distributions=kinds, value=tried.value)

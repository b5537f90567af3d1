"""The command that ranks kinds of supervision for a student before any training."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CotDistillError, nearest
from ..names import RELEASE_NAME, ConfigName
from .parser import add_command, filled_text, positive, usable_path


if TYPE_CHECKING:
    from ..recommend.ranking import Standing
    from ..recommend.validation import Evidence


def add_recommendation_commands(commands: Any) -> None:
    """Add `recommend`."""
    recommend = add_command(commands, _recommend)
    recommend.add_argument(
        "student", type=filled_text, metavar="STUDENT", help="recipe, or folder or Hub name of a base model"
    )
    recommend.add_argument("--benchmark", required=True, metavar="NAME", help="its configs are ranked")
    recommend.add_argument("--configs", nargs="+", metavar="CONFIG", help="default: all that have CoT")
    recommend.add_argument(
        "--rows", type=positive, default=500, metavar="N", help="questions, the same of each config; default: 500"
    )
    recommend.add_argument(
        "--gradients", action="store_true", help="also compute GRACE, for students of at most 10M parameters"
    )
    recommend.add_argument(
        "--studies", type=usable_path, nargs="+", default=[], metavar="DIR", help="finished studies, as evidence"
    )
    folder = Path(RELEASE_NAME)
    recommend.add_argument("--release", type=usable_path, default=folder, metavar="DIR", help="default: %(default)s")


def _recommend(options: argparse.Namespace) -> int:
    """Rank the configs of a benchmark for a student by scores of their CoT, before any training.

    cot-distill recommend demo --benchmark arith --studies docs/results/arith
    """
    configs = choose_configs(options.configs or [], options.benchmark, options.release)
    from ..recommend.advice import recommendation, study_notes, validate_all
    from ..recommend.base import load_base
    from ..recommend.forward import score_configs
    from ..recommend.measurements import of_size, read_study
    from ..recommend.ranking import rank, read_sums
    from ..recommend.validation import weigh

    measurements = [student for folder in dict.fromkeys(options.studies) for student in read_study(folder)]
    base, dataset = load_base(options.student), str(options.release)
    settings = {"rows": options.rows, "gradients": options.gradients}
    sums = read_sums(score_configs(base, configs, dataset, **settings))
    standings = {name: rank(name, of_score) for name, of_score in sums.items()}
    validations = validate_all(of_size(measurements, base.parameters), base, dataset, **settings)
    _print_standings(standings)
    _print_scores(standings, weigh(validations) if validations else {})
    for sentence in study_notes(base, options.benchmark, measurements):
        print(sentence)
    print(recommendation(base.name, standings, validations))
    return 0


def choose_configs(names: Sequence[str], benchmark: str, release: Path) -> list[ConfigName]:
    """Return the configs to rank, those of a benchmark with CoT if there are no `names`.

    Raises CotDistillError if a name is wrong or of another benchmark, or the release has no CoT for the benchmark.
    """
    if not names:
        from ..release.folder import require_release

        all_ = [stats.config for stats in require_release(release).training if stats.config.teacher != "answer"]
        configs = [config for config in all_ if config.benchmark == benchmark]
        if not configs:
            near = nearest(benchmark, {config.benchmark: None for config in all_})
            raise CotDistillError(f"{release} has no CoT for the benchmark {benchmark!r}: use {near}.")
        return configs
    configs = [ConfigName.parse(name) for name in dict.fromkeys(names)]
    for config in configs:
        if config.benchmark != benchmark:
            raise CotDistillError(
                f"`{config}` is a config of {config.benchmark}, but `--benchmark` is {benchmark}: the configs of one "
                "benchmark are ranked, because they share questions."
            )
    return list(dict.fromkeys(configs))


def _print_standings(standings: Mapping[str, Sequence["Standing"]]) -> None:
    print("score", "config", "value", "rank", "95% interval of the rank", "P(top)", sep="\t")
    for name, of_score in standings.items():
        for s in of_score:
            print(name, s.config, f"{s.value:.4g}", s.rank, f"{s.rank}-{s.last}", f"{s.top:.2f}", sep="\t")
    print()


def _print_scores(names: Iterable[str], evidence: Mapping[str, "Evidence"]) -> None:
    from ..recommend.advice import evidence_cells
    from ..recommend.scores import SCORES

    print("score", "better", "tau", "95% interval", "p", "p against length", "definition", sep="\t")
    for score in SCORES:
        if score.name in names:
            cells = evidence_cells(evidence.get(score.name))
            print(score.name, "lower" if score.lower_is_better else "higher", *cells, score.definition, sep="\t")
    print()

"""`cot-distill recommend`: its tables and sentences, and the errors of a student, its configs and the studies."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from outcomes import answer_rows, first_correct, outcome_table
from validations import CORRECT

from cot_distill_datasets.cli import main
from cot_distill_datasets.cli.recommendation import choose_configs
from cot_distill_datasets.recommend.base import Base
from cot_distill_datasets.studies.records import write_record


RUN = ["recommend", "demo", "--benchmark", "arith", "--rows", "24"]
LEVELS = [f"oracle-l{level}-arith" for level in range(1, 7)]


@pytest.fixture
def workplace(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a release of 40 problems and the untrained demo student."""
    for name in ("eit", "runs"):
        shutil.copytree(project / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write_study(workplace: Path, demo: Base) -> Callable[..., str]:
    """Return a function that writes a finished study of the demo student, and returns its folder."""

    def write() -> str:
        arms = {config: first_correct(number) for config, number in CORRECT.items()}
        arms |= {f"untrained-{shots}": first_correct(number) for shots, number in (("0", 3), ("4", 5))}
        Path("study/records").mkdir(parents=True)
        pq.write_table(outcome_table(arms), "study/outcomes.parquet")
        facts = {"key": "k", "provenance": {"parameters": demo.parameters}}
        write_record(Path("study/records/cell.parquet"), answer_rows([1.0]), facts)
        return "study"

    return write


def _tables(text: str) -> tuple[list[dict[str, str]], dict[str, dict[str, str]], list[str]]:
    """Return the lines of the ranks, the scores by name, and the sentences."""
    ranks, scores, sentences = (part.splitlines() for part in text.split("\n\n"))
    rows = [[dict(zip(lines[0].split("\t"), line.split("\t"))) for line in lines[1:]] for lines in (ranks, scores)]
    return rows[0], {row["score"]: row for row in rows[1]}, sentences


def test_configs_are_ranked_by_every_score_and_control_and_none_is_recommended(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*RUN, "--configs", *LEVELS]
    assert main(command) == 0
    output = capsys.readouterr().out
    ranks, scores, sentences = _tables(output)
    assert list(scores) == ["rsr", "surprisal", "rd", "rd_masked", "words", "steps", "agreement"]
    assert {row["tau"] for row in scores.values()} == {"–"}
    assert (scores["rsr"]["better"], scores["words"]["better"]) == ("lower", "higher")
    assert all(len([row for row in ranks if row["score"] == score]) == 6 for score in scores)
    words = [row["config"] for row in ranks if row["score"] == "words"]
    assert (words[0], words[-1]) == ("oracle-l6-arith", "oracle-l1-arith")
    assert {row["rank"] for row in ranks if row["score"] == "agreement"} == {"1"}  # the solver is always right
    (sentence,) = sentences
    assert sentence.startswith("No score is validated for demo") and "try " not in sentence
    assert main(command) == 0
    assert capsys.readouterr().out == output


def test_all_configs_with_cot_are_ranked_by_default(workplace: Path) -> None:
    names = [str(config) for config in choose_configs([], "arith", Path("eit/cot-distill"))]
    assert len(names) == 12 and {*LEVELS} < {*names} and "answer-arith" not in names


def test_a_finished_study_of_the_student_gives_the_evidence(
    write_study: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, "--configs", *LEVELS, "--studies", write_study()]) == 0
    ranks, scores, sentences = _tables(capsys.readouterr().out)
    assert {row["config"] for row in ranks} == {*LEVELS}
    assert -1 <= float(scores["rsr"]["tau"]) <= 1 and "to" in scores["rsr"]["95% interval"]
    assert float(scores["words"]["tau"]) == 0.5  # of the study's 9 configs: the formats are better than l4 to l6
    assert scores["words"]["p against length"] == "–" != scores["rsr"]["p against length"]
    place = "demo on cot_arith in study study"
    assert sentences[0] == f"Measured: {place} has its highest accuracy with `oracle-l3-symbolic-arith`, 97.0%."
    assert f"1 finished study of students of this size ({place})" in sentences[1]


def test_a_study_of_students_of_another_size_is_no_evidence(
    write_study: Callable[..., str], demo: Base, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study()
    facts = {"key": "k", "provenance": {"parameters": 4 * demo.parameters}}
    write_record(Path(study, "records/cell.parquet"), answer_rows([1.0]), facts)
    assert main([*RUN, "--configs", *LEVELS[:2], "--studies", study]) == 0
    assert _tables(capsys.readouterr().out)[2][-1].startswith("No score is validated for demo")


def test_a_student_of_a_study_that_cannot_be_scored_is_named(
    write_study: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study()
    table = pq.read_table("study/outcomes.parquet").to_pandas().assign(student="gone")
    table.to_parquet("study/outcomes.parquet", index=False)
    assert main([*RUN, "--configs", *LEVELS[:2], "--studies", study]) == 0
    output = capsys.readouterr()
    assert "not validated on gone on cot_arith in study study: There is no student 'gone'" in output.err
    assert [sentence[:21] for sentence in _tables(output.out)[2]] == ["No score is validated"]


@pytest.mark.slow
def test_gradients_add_grace(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "--gradients", "--configs", *LEVELS[:2]]) == 0
    ranks, scores, _ = _tables(capsys.readouterr().out)
    assert "grace" in scores and len([row for row in ranks if row["score"] == "grace"]) == 2


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--configs", "oracle-l1-arith", "gpt4o-l1-svamp"], "`gpt4o-l1-svamp` is a config of svamp"),
        (["--configs", "oracle-l1-arith", "oracle-l9-arith"], "'l9'"),
        (["--configs", "oracle-l1-arith", "gpt4o-l1-arith"], "no config 'gpt4o-l1-arith': use `oracle-l1-arith`"),
        (["--benchmark", "arit"], "'arit': use `arith`"),
        (["--release", "nowhere"], "There is no release in nowhere"),
        (["--studies", "runs"], "runs is not a finished study"),
        (["--configs", "oracle-l1-arith"], "1 of at least 2 configs"),
        (["--configs", *LEVELS[:2], "--rows", "19"], "19 of at least 20 questions"),
    ],
)
def test_configs_and_studies_that_cannot_be_used_are_one_sentence(
    workplace: Path, more: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, *more]) == 2
    output = capsys.readouterr()
    assert output.out == "" and named in output.err.splitlines()[-1]


@pytest.mark.parametrize(("student", "named"), [("dmo", "`demo`"), ("runs", "runs"), ("bare", "bare")])
def test_a_student_that_is_unknown_or_has_no_weights_is_one_sentence(
    workplace: Path, student: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree("runs/demo/untrained", "bare", ignore=shutil.ignore_patterns("*.safetensors"))
    assert main(["recommend", student, *RUN[2:]]) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1 and named in output.err

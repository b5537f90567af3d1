"""The report of a study: what it says of known records, and of those that are missing."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from known_study import facts, make_plan, report, table_rows
from outcomes import answer_rows, first_correct, outcome_table
from PIL import Image
from simulated import simulate

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.evaluation.statistics import Answers
from cot_distill_datasets.studies.drawings import draw_figures
from cot_distill_datasets.studies.findings import find
from cot_distill_datasets.studies.records import write_record
from cot_distill_datasets.studies.report import write_study_report
from cot_distill_datasets.studies.study import Cell


LEVELS = [f"oracle-l{level}-arith" for level in range(1, 7)]


def simulated(truth: Mapping[str, float], *, seeds: int = 3, questions: int = 500) -> dict[str, Answers]:
    (study,) = simulate(list(truth.values()), seeds=seeds, questions=questions, spread=0.005, studies=1)
    return dict(zip(truth, study))


def test_each_arm_has_a_row_with_its_numbers(tmp_path: Path) -> None:
    page = report(
        make_plan(tmp_path, {"answer-arith": first_correct(20, 20), "oracle-l1-arith": first_correct(50, 60)})
    )
    (row, *_) = table_rows(page, "`oracle-l1-arith`")
    assert row[1:4] == ["7.0", "2 of 3", "55.0%"]
    assert row[5:9] == ["7.1", "45.0%", "0.0%", "10.9"]
    assert row[9].startswith("+45.0 (") and row[10].startswith("+35.0 (")
    (base,) = table_rows(page, "untrained, 4 shots")[:1]
    assert base[2:5] == ["–", "10.0%", "5.5 to 17.4"]  # Wilson 1927


def test_a_recipe_given_by_its_path_has_its_missing_seeds_counted(tmp_path: Path) -> None:
    page = report(make_plan(tmp_path, {"oracle-l1-arith": first_correct(50, 60)}, student="recipes/own.yaml"))
    assert table_rows(page, "`oracle-l1-arith`")[0][2] == "2 of 3"


def test_the_verdict_of_a_known_peak_comes_before_the_tables_with_a_figure(tmp_path: Path) -> None:
    arms = simulated(dict(zip(LEVELS, (0.3, 0.4, 0.6, 0.4, 0.3, 0.3))))
    plan = make_plan(tmp_path, arms | {"answer-arith": first_correct(50, 50, 50, questions=500)})
    page = report(plan)
    assert page.index("**peak at l3**") < page.index("](granularity-cot_arith.png)") < page.index("|")
    with Image.open(plan.folder / "granularity-cot_arith.png") as figure:
        assert figure.width > 1000
    assert {path.name for path in plan.folder.iterdir()} == {
        "granularity-cot_arith.png", "granularity-cot_arith.svg", "losses-demo-arith.png", "losses-demo-arith.svg",
        "outcomes.parquet", "records", "report.html", "report.md", "scores.png", "scores.svg",
    }  # fmt: skip


def test_a_base_is_drawn_once_and_a_long_name_in_several_lines(tmp_path: Path) -> None:
    arm, rate = {"oracle-l3-symbolic-arith": first_correct(50)}, "0.0005"
    tables = (
        outcome_table({"untrained-0": first_correct(5)} | arm, learning_rate=""),
        outcome_table(arm, learning_rate=rate),
    )
    draw_figures(tmp_path, find(pa.concat_tables(tables), {}, 0), {}, {}, 0)
    texts = [element.text for element in ElementTree.parse(tmp_path / "scores.svg").iter() if element.text]
    assert texts.count("demo untrained, 0 shots") == 1
    assert texts.count("demo oracle-l3-symbolic-arith") == 2 and texts.count("learning_rate=0.0005") == 1


def test_each_value_of_a_further_axis_has_its_figure_and_tables(tmp_path: Path) -> None:
    rate = (("learning_rate", "1/2 $a"),)
    plan = make_plan(tmp_path, dict.fromkeys(LEVELS[:3], first_correct(50, 60, 70)), arguments=rate)
    page = report(plan)
    assert "](granularity-cot_arith-learning_rate=1_2__a.png)" in page
    assert (plan.folder / "granularity-cot_arith-learning_rate=1_2__a.png").is_file()
    assert len(table_rows(page, "`oracle-l2-arith`")) == 4  # scores, both ends, the baseline
    assert table_rows(page, "untrained, 0 shots")


def test_cannot_tell_has_the_smallest_detectable_difference(tmp_path: Path) -> None:
    arms = simulated(dict(zip(LEVELS[:3], (0.5, 0.5, 0.5))), questions=60)
    page = report(make_plan(tmp_path, arms | simulated({"oracle-l1-rar-arith": 0.5}, questions=60)))
    detectable = {row[6] for row in table_rows(page, "granularity")}
    (sentence,) = [line for line in page.splitlines() if line.startswith("- Granularity")]
    assert "**cannot tell**" in sentence and f"{max(detectable, key=float)} points" in sentence
    (row,) = table_rows(page, "formats")
    (sentence,) = [line for line in page.splitlines() if line.startswith("- Format")]
    assert row[7] == "cannot tell" and f"{row[6]} points or more" in sentence


def test_teachers_are_shown_with_their_accuracies(tmp_path: Path) -> None:
    arms = simulated({"gpt4o-l3-arith": 0.4, "gemini-l3-arith": 0.6})
    page = report(make_plan(tmp_path, arms, agreement={"gpt4o-l3-arith": 0.971, "gemini-l3-arith": 0.9}))
    (sentence,) = [line for line in page.splitlines() if line.startswith("- Teachers")]
    assert "**not best**" in sentence and "97.1%" in sentence and "90.0%" in sentence
    assert "-1.00" in sentence  # Kendall's tau


def test_students_that_do_not_beat_the_baseline_are_marked_in_every_table(tmp_path: Path) -> None:
    arms = {"oracle-l1-arith": first_correct(9, 12, 10), "oracle-l3-arith": first_correct(70, 70, 70)}
    page = report(make_plan(tmp_path, arms))
    assert len(table_rows(page, "`oracle-l1-arith`†")) == 2  # scores, contrasts
    assert table_rows(page, "`oracle-l1-arith`") == table_rows(page, "`oracle-l3-arith`†") == []


def test_missing_cells_and_arms_are_named(tmp_path: Path) -> None:
    arms = {"oracle-l1-arith": first_correct(50, 60), "oracle-l2-arith": first_correct(50, 50, 60)}
    arms |= {"oracle-l3-arith": first_correct()}
    plan = make_plan(tmp_path, arms)
    plan.missing["demo.oracle-l4-arith.seed1"] = "no such model"
    plan.study.cells.append(Cell(student="demo", config="oracle-l4-arith", benchmark="arith", seed=1))
    page = report(plan)
    missing = [line for line in page.partition("## Missing cells")[2].splitlines() if line.startswith("- ")]
    assert missing == [
        "- `demo.oracle-l4-arith.seed1`: no such model",
        "- `demo.oracle-l1-arith.seed3`: no record of cot_arith",
        *(f"- `demo.oracle-l3-arith.seed{seed}`: no record of cot_arith" for seed in (1, 2, 3)),
    ]
    assert "7 of 12" in page
    assert "2 of 3 of `oracle-l1-arith`." in page and "`oracle-l3-arith`, `oracle-l4-arith`." in page


def test_warnings_are_listed(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"oracle-l1-arith": first_correct(50)})
    assert "## Warnings" not in report(plan)
    plan.warnings.append("oracle-l1-arith: too long")
    assert "- oracle-l1-arith: too long" in report(plan).partition("## Warnings\n")[2].splitlines()


def test_a_study_of_one_seed_says_that_the_noise_of_training_is_unknown(tmp_path: Path) -> None:
    said = [
        "Training noise is unknown"
        in report(make_plan(tmp_path / str(n), {"oracle-l1-arith": first_correct(*correct)}))
        for n, correct in enumerate([(50,), (50, 60)])
    ]
    assert said == [True, False]


def test_adjacent_levels_below_75_percent_are_not_separated(tmp_path: Path) -> None:
    shares = {pair: (share, 1.2) for pair, share in zip(itertools.pairwise(LEVELS), (0.74, 0.75, 1.0, 0.1))}
    arms = dict.fromkeys(LEVELS[:4], first_correct(50, 50, 60))
    page = report(make_plan(tmp_path, arms, separation=shares))
    sentences = [line for line in page.splitlines() if "**not separated**" in line]
    assert len(sentences) == 1 and "`oracle-l1-arith`" in sentences[0] and "74.0%" in sentences[0]
    levels = {(row[0], row[2], row[4]) for row in table_rows(page.partition("## Levels")[2], "1.20")}
    assert ("`oracle-l1-arith`", "74.0%", "not separated") in levels and ("`oracle-l2-arith`", "75.0%", "") in levels


def test_a_record_that_is_new_is_in_the_next_report(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"oracle-l1-arith": first_correct(50, 60)})
    assert table_rows(report(plan), "`oracle-l1-arith`")[0][3] == "55.0%"
    write_record(
        plan.record(plan.cells[-1], "cot_arith"), answer_rows(first_correct(70)[0]), facts(plan.cells[-1], "")
    )
    assert table_rows(report(plan), "`oracle-l1-arith`")[0][2:4] == ["3", "60.0%"]


def test_before_the_first_student_is_complete_the_report_has_the_scores_of_the_base(tmp_path: Path) -> None:
    page = report(make_plan(tmp_path, {"oracle-l1-arith": first_correct()}))
    assert [row[3] for row in table_rows(page, "untrained, 4 shots")] == ["10.0%"]
    assert "2 of 5" in page and "100 questions" in page


def test_a_study_without_records_has_no_report(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"oracle-l1-arith": first_correct(50)})
    for path in (plan.folder / "records").iterdir():
        path.unlink()
    with pytest.raises(CotDistillError):
        write_study_report(plan)
    assert not (plan.folder / "report.md").exists()


def test_records_of_several_dtypes_are_named(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"oracle-l1-arith": first_correct(50, 60)})
    assert "Warnings" not in report(plan)
    planned = plan.cells[-2]
    write_record(plan.record(planned, "cot_arith"), answer_rows(first_correct(60)[0]), facts(planned, "", "bfloat16"))
    (warning,) = [line for line in report(plan).splitlines() if "bfloat16" in line]
    assert "3 by hf in float32, 1 by hf in bfloat16" in warning

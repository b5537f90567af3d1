"""The smoke gate: the first answers show whether teacher, prompt and limits fit, before the rest is paid."""

from collections import Counter

from ..errors import CotDistillError
from ..sources.generated import KEPT, Answer, has_shape
from .requests import Request


_SHARE = 8  # one in eight may be unusable: 14 of 16 must be usable


class Gate:
    """What became of the requests that are sent first."""

    def __init__(self, requests: list[Request]) -> None:
        self.requests = requests
        self._requests = {request.key: request for request in requests}
        self._problems: dict[str, str | None] = {}
        self._correct: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._requests

    def note(self, answer: Answer, reason: str) -> None:
        """Note an answer to one of the requests, and why it is kept or not; the latest of several counts."""
        shape = self._requests[answer.key].config.format
        problem = None if reason in (KEPT, "wrong") else reason
        if problem is None and not has_shape(shape, answer.text):
            problem = f"without the shape of the format `{shape}`"
        self._problems[answer.key] = problem
        self._correct = self._correct - {answer.key} | ({answer.key} if reason == KEPT else set())

    def note_unanswered(self, request: Request, reason: str) -> None:
        """Note that a request has no answer."""
        self._problems[request.key] = f"without an answer ({reason})"

    def check(self, teacher: str) -> str:
        """Return one line with the result. Raises CotDistillError, with the reasons, if too many are unusable."""
        problems = Counter(problem for problem in self._problems.values() if problem)
        total, usable = len(self._requests), len(self._requests) - problems.total()
        correct = f"{len(self._correct)} of {total} are correct"
        if problems.total() <= total // _SHARE:
            return f"The first answers are usable: {usable} of {total}; {correct}."
        reasons = ", ".join(f"{count} {problem}" for problem, count in problems.most_common())
        raise CotDistillError(
            f"Only {usable} of the first {total} answers are usable ({reasons}; {correct}): read them with "
            f"`cot-distill annotate status --teacher {teacher} --show all`, or pass `--no-gate` to ask for the rest."
        )

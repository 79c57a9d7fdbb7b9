"""What stops the app host: always one sentence on what is wrong and one on how to mend it."""


class ApphostError(Exception):
    """A fault that the person at the keyboard can mend; it is printed without a traceback."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}")
        self.problem = problem
        self.remedy = remedy

"""The best validation of a run, and when no better one is waited for any longer."""

BEFORE_TRAINING = 0  # the step of the first validation, which no checkpoint has


class Validations:
    """The validations of a run, in the order in which they come."""

    def __init__(self, rows: list[dict[str, float]]) -> None:
        self.best_step: int | None = None  # None: none but that before training
        self.since_best = 0  # validations after it
        self._best = float("inf")
        for row in rows:
            self.add(row)

    def add(self, row: dict[str, float]) -> None:
        """Takes a row of the metrics; only validations after training count."""
        if "val_loss" not in row or row["step"] == BEFORE_TRAINING:
            return
        self.since_best += 1
        if row["val_loss"] < self._best:
            self._best = row["val_loss"]
            self.best_step, self.since_best = int(row["step"]), 0

    def is_enough(self, patience: int | None) -> bool:
        """Whether `patience` validations in a row were no better than the best."""
        return patience is not None and self.since_best >= patience

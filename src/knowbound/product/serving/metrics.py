"""What a team watches: requests, batches, verdicts and p-values, in the form of Prometheus."""

from knowbound.errors import UserError
from knowbound.labels import Decision
from knowbound.workflows.predict import Prediction

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
P_VALUES = tuple(round(0.05 * step, 2) for step in range(1, 21))
"""Of known pictures like those that were held out, each twentieth holds as many: a histogram that
leans to the left is the drift to look at."""
UNREADABLE = "error"


class Metrics:
    """Counts what a service does, in a registry of its own.

    Raises:
        UserError: prometheus-client is not installed.
    """

    def __init__(self) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        except ImportError as error:
            raise UserError(
                "serving needs prometheus-client, which is not installed; pip install "
                "'knowbound[serve]'"
            ) from error
        self._registry = own = CollectorRegistry()
        self._requests = Counter(
            "knowbound_requests", "Requests answered.", ["path", "status"], registry=own
        )
        self._seconds = Histogram(
            "knowbound_request_seconds",
            "From the header of a request to the end of its answer.",
            ["path"],
            buckets=SECONDS,
            registry=own,
        )
        self._batches = Histogram(
            "knowbound_batch_pictures",
            "Pictures judged in one pass.",
            ["model"],
            buckets=BATCHES,
            registry=own,
        )
        self._judging = Counter(
            "knowbound_judging_seconds", "In which the model computed.", ["model"], registry=own
        )
        self._pictures = Counter(
            "knowbound_pictures",
            "Pictures by what was said of them; error: those that could not be read.",
            ["model", "verdict"],
            registry=own,
        )
        self._p_values = Histogram(
            "knowbound_p_value",
            "p-values of all pictures.",
            ["model"],
            buckets=P_VALUES,
            registry=own,
        )
        self._waiting = Gauge(
            "knowbound_waiting_pictures", "Being decoded or in a queue.", registry=own
        )
        self._loads = Counter(
            "knowbound_model_loads", "Models put in place.", ["model", "outcome"], registry=own
        )
        self._kept = Counter(
            "knowbound_kept_pictures", "Rejected pictures kept.", ["outcome"], registry=own
        )
        self._model = Gauge(
            "knowbound_model", "1 for the version that answers.", ["model", "version"], registry=own
        )
        self._versions: dict[str, str] = {}

    def text(self) -> tuple[bytes, str]:
        """Everything, as Prometheus reads it, and the type of that text."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            path: one of a few; anything a client may choose is not one.
            status: of HTTP.
            seconds: that it took.
        """
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def said(self, model: str, rows: list[Prediction]) -> None:
        """Count the pictures of one request.

        Args:
            model: its name.
            rows: what was said of each.
        """
        for row in rows:
            said = row.verdict
            self._pictures.labels(model, str(said.decision) if said else UNREADABLE).inc()
            if said:
                self._p_values.labels(model).observe(said.p_value)

    def waiting(self, pictures: int) -> None:
        """Note how many pictures are inside.

        Args:
            pictures: at least 0.
        """
        self._waiting.set(pictures)

    def judged(self, model: str, size: int, seconds: float) -> None:
        """Count a batch.

        Args:
            model: its name.
            size: images.
            seconds: that the model computed.
        """
        self._batches.labels(model).observe(size)
        self._judging.labels(model).inc(seconds)

    def loaded(self, model: str, version: str) -> None:
        """Count a model that was put in place.

        Args:
            model: its name.
            version: of its file.
        """
        if model in self._versions:
            self._model.remove(model, self._versions[model])
        self._versions[model] = version
        self._model.labels(model, version).set(1)
        self._loads.labels(model, "loaded").inc()
        for decision in Decision:
            self._pictures.labels(model, str(decision))

    def not_loaded(self, model: str) -> None:
        """Count a model on disk that could not be used.

        Args:
            model: its name.
        """
        self._loads.labels(model, "refused").inc()

    def kept(self, outcome: str) -> None:
        """Count a rejected picture.

        Args:
            outcome: what became of it: ``kept``, ``there`` already, ``full``, ``busy`` or
                ``failed``.
        """
        self._kept.labels(outcome).inc()

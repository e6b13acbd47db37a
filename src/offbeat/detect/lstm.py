"""How surprising is each next event, to a network that has read the session so far?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from offbeat.detect.base import Detector, State, order_evidence
from offbeat.detect.neural import open_network
from offbeat.detect.ragged import Floats, Ragged, run_sum, segment_argmax, segment_max, starts_tell

#: Tokens the network knows beside the templates; nets.next_event writes them, and scoring must agree.
END, START, UNKNOWN, FIRST = 0, 1, 2, 3
_BATCH = 256
#: Steps at once, at most, and fewer where a step's probabilities of all templates take more than 4 MB together.
_STEP = 512
_CELLS = 1 << 20
#: At most so many events are read again after training to see what each unit reacts to.
_PROFILED = 20_000


class LSTM(Detector):
    """Score a sequence by the events an LSTM did not expect.

    The network reads the whole session, state carried, from an explicit start event, and gives the probability of each
    next event. An event's regret is how much less probable it was than the most probable one, ``ln p(best) - ln p``:
    where anything may come, nothing is strange. Nor has the first event of a sequence any, where starts tell nothing:
    windows are cut from a stream wherever it happens to be. The score is the largest sum of regrets over ``span``
    consecutive events, for what is out of order upsets the next predictions too, and a rare choice does not. The end
    event is learned but not scored, for mixed in it drowns the order of events on logs whose sessions are cut off.

    Args:
        embedding, hidden: sizes of the layers.
        span: consecutive events whose regrets are summed.
        epochs, patience, learning_rate, batch_tokens, tokens: limits of training, see ``nets.next_event.Plan``.
        seed: of everything random.
        checkpoint: a folder to resume an interrupted training from; none where empty.

    Attributes:
        frequency_: how often each template occurs in training, by code, shape (templates,).
        starts_: whether the first event of a sequence is scored; see ``ragged.starts_tell``.
        units_: what each hidden unit reacts to, see ``activations.profile``.
    """

    name: ClassVar[str] = "lstm"
    source: ClassVar[str] = "after DeepLog, Du et al., CCS 2017, on whole sessions"
    looks_at: ClassVar[str] = "the order of events"
    in_nats: ClassVar[bool] = True
    trains_with: ClassVar[tuple[str, ...]] = ("torch", "onnx")

    def __init__(
        self,
        embedding: int = 32,
        hidden: int = 64,
        span: int = 3,
        epochs: int = 60,
        patience: int = 8,
        learning_rate: float = 2e-3,
        batch_tokens: int = 2048,
        tokens: int = 1_500_000,
        seed: int = 0,
        checkpoint: str = "",
    ) -> None:
        self.embedding = embedding
        self.hidden = hidden
        self.span = span
        self.epochs = epochs
        self.patience = patience
        self.learning_rate = learning_rate
        self.batch_tokens = batch_tokens
        self.tokens = tokens
        self.seed = seed
        self.checkpoint = checkpoint
        self.progress: Callable[[int, int, float], None] | None = None

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        from offbeat.detect.nets.next_event import Plan, train
        from offbeat.detect.nets.to_onnx import next_event_graph

        kept = data.merged()
        plan = Plan(**{k: v for k, v in self.get_params().items() if k in Plan.__dataclass_fields__})
        self.vocabulary_ = data.size + FIRST
        self.starts_ = starts_tell(data)
        net, self.history_ = train(
            kept.ids, kept.offsets, kept.weight, self.vocabulary_, plan, self.progress, self.checkpoint
        )
        self.onnx_ = next_event_graph(net)
        self._session: Any = None
        self._describe(kept)

    def _describe(self, data: Ragged) -> None:
        """Keep what explanations need of training: how often each template occurs, and what each unit reacts to."""
        from offbeat.detect.activations import profile

        self.frequency_ = np.bincount(data.ids, data.weight[data.rows], minlength=self.vocabulary_ - FIRST)
        # The sequences that stand for most units say most; a long one may be cut.
        flat = data.take(np.argsort(-data.weight, kind="stable"))
        end = min(_PROFILED, len(flat.ids))
        n = int(np.searchsorted(flat.offsets, end))
        self.units_ = profile(self, Ragged(flat.ids[:end], np.append(flat.offsets[:n], end), flat.weight[:n]))

    def log_p(self, data: Ragged) -> tuple[Floats, Floats, Floats]:
        """Return ``ln p`` of each event, of the most probable one in its place, and of each end, given those before.

        Of shapes (events,), (events,) and (n,).
        """
        session = self._open()
        of_event, of_best, of_end = np.zeros(len(data.ids)), np.zeros(len(data.ids)), np.zeros(len(data))
        order = np.argsort(data.lengths, kind="stable")
        for at in range(0, len(order), _BATCH):
            which = order[at : at + _BATCH]
            lengths = data.lengths[which]
            longest = int(lengths.max()) + 1
            h = np.zeros((1, len(which), self.hidden), np.float32)
            c = h.copy()
            place = np.arange(longest)[:, None]
            inside = place < lengths
            source = np.where(inside, data.offsets[which] + place, 0)
            codes = data.ids[source] if len(data.ids) else np.zeros_like(source)
            codes = np.where(codes + FIRST < self.vocabulary_, codes + FIRST, UNKNOWN)
            predict = np.where(inside, codes, END)
            read = np.concatenate([np.full((1, len(which)), START), predict[:-1]])
            out, best = np.empty(predict.shape, np.float32), np.empty(predict.shape, np.float32)
            steps = min(_STEP, max(1, _CELLS // (len(which) * self.vocabulary_)))
            for step in range(0, longest, steps):
                part = slice(step, step + steps)
                feed = {"read": read[part], "predict": predict[part], "h0": h, "c0": c}
                out[part], best[part], h, c = session.run(["log_p", "best", "h", "c"], feed)
            of_event[source[inside]] = out[inside]
            of_best[source[inside]] = best[inside]
            of_end[which] = out[lengths, np.arange(len(which))]
        return of_event, of_best, of_end

    def _sums(self, data: Ragged) -> tuple[Floats, Floats, Floats]:
        """Return each event's ``ln p``, regret, and sum of regrets up to and with it, all of shape (events,)."""
        of_event, of_best, _ = self.log_p(data)
        regret = of_best - of_event
        if not self.starts_:
            regret[data.offsets[:-1][data.lengths > 0]] = 0.0
        return of_event, regret, run_sum(regret, data.rows, self.span)

    def regrets(self, X: pl.DataFrame) -> tuple[Floats, Floats]:
        """Return ``ln p`` and the regret of each event of the sequences in ``X``, end to end, of shape (events,)."""
        of_event, regret, _ = self._sums(self._taken(X))
        return of_event, regret

    def worst_run(self, data: Ragged) -> int:
        """Return the last event, 0-based, of the run of ``span`` that makes the score of one sequence with events."""
        return int(self._sums(data)[2].argmax())

    def expected(self, codes: Sequence[int], event: int, k: int = 3) -> list[tuple[int | None, float]]:
        """Return the ``k`` most likely events at place ``event`` of a sequence, with their probabilities.

        None stands for the end of the sequence.
        """
        tokens = [c + FIRST if c + FIRST < self.vocabulary_ else UNKNOWN for c in codes[:event]]
        read = np.array([[START], *[[t] for t in tokens]], dtype=np.int64)
        state = np.zeros((1, 1, self.hidden), np.float32)
        feed = {"read": read, "predict": read, "h0": state, "c0": state}
        last = self._open().run(["all"], feed)[0][-1, 0]
        best = [int(t) for t in np.argsort(-last, kind="stable") if t not in (START, UNKNOWN)][:k]
        return [(t - FIRST if t >= FIRST else None, float(np.exp(last[t]))) for t in best]

    def _open(self) -> Any:
        if self._session is None:
            self._session = open_network(self.onnx_)
        return self._session

    def _score(self, data: Ragged) -> Floats:
        return segment_max(self._sums(data)[2], data.rows, len(data))

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        of_event, regret, sums = self._sums(data)
        end = segment_argmax(sums, data.rows, len(data))[data.rows]
        place = np.arange(len(regret))
        # Of the events whose regrets sum to the score, the one with the largest is named.
        inside = (place <= end) & (place > end - self.span)
        return order_evidence(data, np.where(inside, regret, -1.0), np.exp(of_event))

    def state(self) -> State:
        """Return the network as ONNX, the losses of its training, and what explanations need."""
        frame = pl.DataFrame(self.history_, schema=["training", "validation"], orient="row")
        values = {"vocabulary": self.vocabulary_, "starts": self.starts_, "sequences_seen": self.sequences_seen_}
        counts = pl.DataFrame({"count": self.frequency_}, schema={"count": pl.Float64})
        return State(values, {"losses": frame, "templates": counts, "units": self.units_}, {"network": self.onnx_})

    def restore(self, state: State) -> Self:
        """Take up a saved state; needs neither torch nor onnx."""
        self._restored(state.values)
        self.vocabulary_ = int(state.values["vocabulary"])
        self.starts_ = bool(state.values["starts"])
        self.history_ = state.frames["losses"].rows()
        self.frequency_ = state.frames["templates"]["count"].to_numpy()
        self.units_ = state.frames["units"]
        self.onnx_ = state.onnx["network"]
        self._session = None
        return self

"""What templates mean, as vectors: from their words, from a file of word vectors, or from the company they keep.

Nothing is downloaded. Where the texts of templates are known, each is split into words and parts of words, and what
goes together in templates lies close together (latent semantic analysis: Deerwester et al., JASIS 1990; parts of words
as in fastText: Bojanowski et al., TACL 2017). A template's vector is the sum of its words' vectors weighted by TF-IDF,
as LogRobust proposes (Zhang et al., FSE 2019). Where only ids are known, a template is known by the company it keeps:
its neighbours' pointwise mutual information, factorised (Levy and Goldberg, NeurIPS 2014). NumPy is all it needs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.ragged import Floats, Ints, Ragged
from offbeat.detect.word_vectors import read_vectors
from offbeat.errors import OptionError

Vectors = NDArray[np.float32]
Bag = dict[str, float]

_PLACEHOLDER: Final = re.compile(r"<[^<>\s]*>")
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_HUMPS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
#: Lengths of the parts of words, and the most features that are kept, those in most templates first.
_PARTS: Final = (3, 4)
_FEATURES: Final = 20_000
#: Components are learned from at most so many templates; the rest are only placed among them.
_TEMPLATES: Final = 2_000
#: Events on either side that are a template's company.
_COMPANY: Final = 3


def words(text: str) -> list[str]:
    """Return the words of a template, in lower case and in order.

    Placeholders, digits and punctuation are left out, identifiers are split at dots, underscores and humps
    (``dfs.DataNode$PacketResponder`` gives dfs, data, node, packet, responder), and single Latin letters are dropped.
    """
    runs = _LETTERS.findall(_PLACEHOLDER.sub(" ", text))
    parts = [part.lower() for run in runs for part in _HUMPS.split(run)]
    return [part for part in parts if len(part) > 1 or not part.isascii()]


def _features(text: str) -> Bag:
    """Return how much there is of each word and of each part of a word; the parts of a word weigh as much as it."""
    found: dict[str, float] = {}
    some = words(text)
    for word in some:
        found[word] = found.get(word, 0.0) + 1
        framed = f"<{word}>"
        parts = [framed[i : i + n] for n in _PARTS for i in range(len(framed) - n + 1) if n < len(framed)]
        for part in parts:
            found[f"~{part}"] = found.get(f"~{part}", 0.0) + len(parts) ** -0.5
    if not some:
        # A template of placeholders and signs alone is known by its looks.
        found[f"={text}"] = 1
    return found


@dataclass(frozen=True)
class Meaning:
    """Vectors of templates, at most of length 1: the shorter, the less of a text was seen; 0 where nothing is known.

    Attributes:
        known: by code, of the templates learned from, float32 of shape (templates, dimensions).
        features: words, ``~`` parts of words, and ``=`` whole templates without words; empty without texts.
        idf: inverse document frequency of each, float64 of shape (features,).
        components: vector of each, float32 of shape (features, dimensions).
    """

    known: Vectors
    features: tuple[str, ...]
    idf: Floats
    components: Vectors

    @classmethod
    def learn(cls, data: Ragged, texts: Sequence[str] = (), *, dimensions: int = 64, vectors: str = "") -> Self:
        """Learn what the templates of sequences mean.

        Args:
            data: the sequences; only templates that occur in them are learned from.
            texts: of the templates by code; without any, meaning comes from the company they keep.
            dimensions: at most so many; fewer where fewer say it all.
            vectors: path of a file of word vectors in the text format of word2vec, GloVe or fastText, may be
                compressed with gzip; empty for none. Its first 10,000 words and those of the templates are kept.

        Raises:
            OptionError: ``vectors`` is given without texts, or cannot be read, or holds none of the templates' words.
        """
        codes = np.unique(data.ids)
        codes = codes[codes < len(texts)] if len(texts) else codes
        if not len(texts):
            if vectors:
                raise OptionError(
                    "word vectors need templates with words, and here only ids are known", where="--param vectors"
                )
            return cls(_company(data, dimensions), (), np.zeros(0), np.zeros((0, 1), np.float32))
        bags = [_features(texts[code]) for code in codes]
        if vectors:
            mine = {word for bag in bags for word in bag if word[0] not in "~="}
            features, components = read_vectors(vectors, mine)
            components = _unit(components)
        else:
            features = _most_shared(bags)
            components = np.zeros((len(features), 0), np.float32)
        made = cls(np.zeros((0, 1), np.float32), features, _idf(bags, features), components)
        if not vectors:
            made = cls(made.known, features, made.idf, _components(made._tf_idf(bags[:_TEMPLATES]), dimensions))
        known = np.zeros((data.size, made.dimensions), np.float32)
        known[codes] = made._of_bags(bags)
        return cls(known, features, made.idf, made.components)

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        return int((self.components if self.features else self.known).shape[1])

    @cached_property
    def has_parts(self) -> bool:
        """Whether parts of words are features; a file of word vectors knows whole words alone."""
        return any(feature[0] == "~" for feature in self.features)

    def of_texts(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of templates, seen or not, by their texts: float32 of shape (n, dimensions)."""
        return self._of_bags([_features(text) for text in texts])

    def of_codes(self, codes: Ints, texts: Sequence[str] = ()) -> Vectors:
        """Return the vectors of templates by their codes, float32 of shape (n, dimensions).

        A template that was not learned from gets the vector of its text; 0 where that is not known.
        """
        distinct, index = np.unique(codes, return_inverse=True)
        found = np.zeros((len(distinct), self.dimensions), np.float32)
        old = distinct < len(self.known)
        found[old] = self.known[distinct[old]]
        if self.features:
            new = np.flatnonzero(~found.any(axis=1) & (distinct < len(texts)))
            found[new] = self.of_texts([texts[code] for code in distinct[new]])
        return found[index]

    def nearest(self, vectors: Vectors) -> tuple[Ints, Floats]:
        """Return the code of the nearest template learned from, and the similarity, two arrays of shape (n,).

        The similarity is the cosine times the length of the vector, so that words never seen lessen it. Where a vector
        is 0 nothing is near it: the code is -1 and the similarity 0.
        """
        if not self.known.any() or not len(vectors):
            return np.full(len(vectors), -1), np.zeros(len(vectors))
        near = vectors.astype(np.float64) @ _unit(self.known).T.astype(np.float64)
        near[:, ~self.known.any(axis=1)] = -np.inf
        best = near.argmax(axis=1)
        some = vectors.any(axis=1)
        return np.where(some, best, -1), np.where(some, near[np.arange(len(best)), best], 0.0)

    def frames(self) -> dict[str, pl.DataFrame]:
        """Return what has to be saved, to be merged into a detector's ``State.frames``."""
        features = {"feature": pl.Series(self.features, dtype=pl.String), "idf": self.idf}
        return {
            "meaning": pl.DataFrame({"vector": _as_lists(self.known)}),
            "meaning_features": pl.DataFrame(features | {"vector": _as_lists(self.components)}),
        }

    @classmethod
    def restore(cls, frames: dict[str, pl.DataFrame]) -> Self:
        """Take up what ``frames`` gave."""
        features = frames["meaning_features"]
        return cls(
            _as_matrix(frames["meaning"]["vector"]),
            tuple(features["feature"]),
            features["idf"].to_numpy(),
            _as_matrix(features["vector"]),
        )

    def _tf_idf(self, bags: Sequence[Bag]) -> Vectors:
        """Return the weights of the features in each template, of shape (n, features).

        Each row would be of length 1, were all its features known; the others count as the rarest.
        """
        place = {feature: i for i, feature in enumerate(self.features)}
        rarest = self.idf.max(initial=1.0)
        weights = np.zeros((len(bags), len(self.features) + 1), np.float32)
        for row, bag in zip(weights, bags, strict=True):
            for feature, count in bag.items():
                at = place.get(feature)
                if at is not None:
                    row[at] = count * self.idf[at]
                elif self.has_parts or feature[0] != "~":
                    row[-1] = np.hypot(row[-1], count * rarest)
        return _unit(weights)[:, :-1]

    def _of_bags(self, bags: Sequence[Bag]) -> Vectors:
        found = np.zeros((len(bags), self.dimensions), np.float32)
        for at in range(0, len(bags), 256):
            weights = self._tf_idf(bags[at : at + 256])
            sums = weights @ self.components
            # Components learned here are orthogonal, word vectors from elsewhere are not, and sums of them grow.
            known = np.linalg.norm(weights, axis=1, keepdims=True)
            found[at : at + 256] = sums if self.has_parts else _unit(sums) * known
        return found


def _most_shared(bags: Sequence[Bag]) -> tuple[str, ...]:
    """Return the features in order of the alphabet; of too many, those in most templates."""
    frequency = Counter(feature for bag in bags for feature in bag)
    ranked = sorted(frequency, key=lambda feature: (-frequency[feature], feature))
    return tuple(sorted(ranked[:_FEATURES]))


def _idf(bags: Sequence[Bag], features: Sequence[str]) -> Floats:
    """Return the smoothed inverse document frequency ``ln((1 + n) / (1 + df)) + 1`` of each feature."""
    frequency = Counter(feature for bag in bags for feature in bag)
    df = np.array([frequency[feature] for feature in features], dtype=np.float64)
    return np.asarray(np.log((1 + len(bags)) / (1 + df)) + 1)


def _components(weights: Vectors, dimensions: int) -> Vectors:
    """Return the leading right singular vectors of (templates, features) as columns: (features, k), k at least 1."""
    left, scale = _eigen(weights @ weights.T, dimensions)
    if not len(scale):
        return np.zeros((weights.shape[1], 1), np.float32)
    return np.ascontiguousarray((weights.T @ (left / np.sqrt(scale))).astype(np.float32))


def _eigen(symmetric: NDArray[Any], k: int) -> tuple[Floats, Floats]:
    """Return the ``k`` leading eigenvectors as columns and their eigenvalues, those above rounding, signs fixed."""
    values, vectors = np.linalg.eigh(symmetric.astype(np.float64))
    keep = np.argsort(-values, kind="stable")[:k]
    keep = keep[values[keep] > 1e-6 * max(float(values.max(initial=0.0)), 1e-12)]
    values, vectors = values[keep], vectors[:, keep]
    if len(keep):
        # The sign of an eigenvector means nothing; fixed, so that every machine learns the same.
        vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(keep))])
    return vectors, values


def _company(data: Ragged, dimensions: int) -> Vectors:
    """Return vectors of templates from who stands beside them, of shape (templates, k), k at least 1.

    The positive pointwise mutual information of templates and their neighbours up to three places away, nearer ones
    counting more; the start and the end of a sequence are company, too. It is factorised symmetrically.
    """
    size = data.size
    if not size:
        return np.zeros((0, 1), np.float32)
    start, end = size, size + 1
    joint = np.zeros((size + 2, size + 2))
    weight = data.weight[data.rows]
    place = np.arange(len(data.ids)) - data.offsets[:-1][data.rows]
    left = data.lengths[data.rows] - 1 - place
    for step in range(1, _COMPANY + 1):
        share = weight / step
        at = np.flatnonzero(left >= step)
        np.add.at(joint, (data.ids[at], data.ids[at + step]), share[at])
        np.add.at(joint, (start, data.ids[place == step - 1]), share[place == step - 1])
        np.add.at(joint, (data.ids[left == step - 1], end), share[left == step - 1])
    # Company before and company after are told apart, for logs have a direction.
    met = np.concatenate([joint, joint.T], axis=1)
    outer = met.sum(axis=1, keepdims=True) * met.sum(axis=0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ppmi = np.nan_to_num(np.maximum(np.log(met * met.sum() / outer), 0.0), nan=0.0, posinf=0.0)[:size]
    vectors, values = _eigen(ppmi @ ppmi.T, dimensions)
    found = _unit((vectors * values**0.25).astype(np.float32))
    return found if found.shape[1] else np.zeros((size, 1), np.float32)


def _unit(rows: Vectors) -> Vectors:
    """Return each row at length 1; one of zeros stays."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 1e-6, length, 1.0), dtype=np.float32)


def _as_lists(rows: Vectors) -> pl.Series:
    return pl.Series(rows) if len(rows) else pl.Series([], dtype=pl.Array(pl.Float32, rows.shape[1]))


def _as_matrix(lists: pl.Series) -> Vectors:
    width = lists.dtype.shape[0]  # type: ignore[attr-defined]  # the dtype is an Array
    return np.asarray(lists.to_numpy(), dtype=np.float32).reshape(len(lists), width)

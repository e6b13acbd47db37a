"""SEQUENCES -> SCORES: one module a detector. Exporting a detector here is registering it."""

from offbeat.detect.autoencoder import Autoencoder
from offbeat.detect.base import Detector, State
from offbeat.detect.cnn import CNN
from offbeat.detect.cnn_autoencoder import CNNAutoencoder
from offbeat.detect.count import Count
from offbeat.detect.count_vector import CountVector
from offbeat.detect.decision_tree import DecisionTree
from offbeat.detect.deeplog import DeepLog
from offbeat.detect.edit_distance import EditDistance
from offbeat.detect.end import End
from offbeat.detect.invariants import Invariants
from offbeat.detect.isolation_forest import IsolationForest
from offbeat.detect.length import Length
from offbeat.detect.loganomaly import LogAnomaly
from offbeat.detect.logbert import LogBERT
from offbeat.detect.logrobust import LogRobust
from offbeat.detect.logsy import Logsy
from offbeat.detect.lstm import LSTM
from offbeat.detect.lstm_autoencoder import LSTMAutoencoder
from offbeat.detect.lstm_classifier import LSTMClassifier
from offbeat.detect.moving_average import MovingAverage
from offbeat.detect.nearest_neighbour import NearestNeighbour
from offbeat.detect.new_template import NewTemplate
from offbeat.detect.ngram import NGram
from offbeat.detect.one_class_svm import OneClassSVM
from offbeat.detect.pca import PCA
from offbeat.detect.presence import Presence
from offbeat.detect.ragged import Ragged
from offbeat.detect.svm import SVM
from offbeat.detect.timing import Timing
from offbeat.detect.values import Values
from offbeat.detect.zscore import ZScore

#: Detectors by the names used on the command line.
DETECTORS: dict[str, type[Detector]] = {
    d.name: d
    for d in (
        Presence,
        Count,
        LSTM,
        DeepLog,
        LogAnomaly,
        LSTMAutoencoder,
        Autoencoder,
        CNNAutoencoder,
        CountVector,
        NGram,
        End,
        NewTemplate,
        IsolationForest,
        PCA,
        ZScore,
        MovingAverage,
        EditDistance,
        Invariants,
        OneClassSVM,
        NearestNeighbour,
        DecisionTree,
        SVM,
        Length,
        Timing,
        Values,
        LSTMClassifier,
        CNN,
        LogRobust,
        LogBERT,
        Logsy,
    )
}

__all__ = [
    "CNN",
    "DETECTORS",
    "LSTM",
    "PCA",
    "SVM",
    "Autoencoder",
    "CNNAutoencoder",
    "Count",
    "CountVector",
    "DecisionTree",
    "DeepLog",
    "Detector",
    "EditDistance",
    "End",
    "Invariants",
    "IsolationForest",
    "LSTMAutoencoder",
    "LSTMClassifier",
    "Length",
    "LogAnomaly",
    "LogBERT",
    "LogRobust",
    "Logsy",
    "MovingAverage",
    "NGram",
    "NearestNeighbour",
    "NewTemplate",
    "OneClassSVM",
    "Presence",
    "Ragged",
    "State",
    "Timing",
    "Values",
    "ZScore",
]

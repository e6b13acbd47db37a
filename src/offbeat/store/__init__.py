"""What people say of findings, kept in SQLite."""

from offbeat.store.answers import Answer, Answers, Log, Member, Question

__all__ = ["Answer", "Answers", "Log", "Member", "Question"]

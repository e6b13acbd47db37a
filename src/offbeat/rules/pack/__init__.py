"""The rules that ship: Sigma files, their examples, and what they compile to."""

"""Processes whose risk L(c) is known exactly, and the tables that a task of them makes."""

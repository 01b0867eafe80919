"""A tracking server that may go away: a journal, and the thread that delivers it."""

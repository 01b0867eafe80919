"""The command: what each verb does, and all that is printed."""

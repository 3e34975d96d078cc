"""What the models refuse, as types that callers can tell apart."""


class ModelError(Exception):
    """Any refusal of the ml package; the text is meant for people."""


class TooLittleHistory(ModelError):
    """The facts hold no closed window with enough members to learn from or to test on."""


class CorruptArtifact(ModelError):
    """The bytes or files of a model are damaged, incomplete or of an unknown version."""


class NoCluster(ModelError):
    """The machines that shall do the work cannot; the text says why and what mends it."""


class UnreadableFile(ModelError):
    """A file of orders cannot be used; the text says what is wrong and what is expected."""

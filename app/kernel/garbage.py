"""How often Python looks for garbage in cycles."""

import gc


def collect_rarely() -> None:
    """Look less often, and not among what lives as long as the process. Call it once, when ready.

    A request makes some thousand objects and a job's batch some hundred thousand, and neither
    leaves cycles: at the default of one collection in 700 of them, a tenth of a request's
    processor time and half of such a batch's goes into looking.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(25_000, 20, 50)

"""The numbers of a backtest as JSON."""

import msgspec

from fraudstream.commands.backtest_run import Result
from fraudstream.commands.backtest_speed import Speed


def result_json(result: Result, speed: Speed | None) -> bytes:
    """Return every number of a backtest as JSON.

    The same files and options give the same bytes for the same ``speed``; without one its keys are ``null``.
    """
    request = result.request
    by_time = request.delay.transactions is None and request.labels is None
    measures = msgspec.to_builtins(result.measures, builtin_types=())
    head = {
        "files": [file.path.name for file in request.files],
        "format": request.kind.value,
        "labels": None if request.labels is None else request.labels.path.name,
        "label_delay_seconds": request.delay.seconds if by_time else None,
        "label_delay_rows": request.delay.transactions,
        "partitions": request.partitions,
        "refused_rows": result.refused,
        "rows": measures.pop("rows"),
        "test_rows": measures.pop("test_rows"),
        "test_frauds": measures.pop("test_frauds"),
        "average_precision": measures.pop("average_precision"),
        "roc_auc": measures.pop("roc_auc"),
        "log_loss": measures.pop("log_loss"),
        "calibration_error": measures.pop("calibration_error"),
        "card_precision_at_100": measures.pop("card_precision_at_100"),
        "alerts_per_day": measures.pop("alerts_per_day"),
        "events_per_second": None if speed is None else speed.events_per_second,
        "cpu_us_per_event": None if speed is None else speed.cpu_us_per_event,
        "speed_measured_at": None if speed is None else speed.measured_at,
        "speed_measured_on": None if speed is None else speed.measured_on,
    }
    for number, challenger in enumerate(measures["challengers"]):
        challenger["cpu_us_per_event"] = None if speed is None else speed.challengers_cpu_us[number]
    return msgspec.json.format(msgspec.json.encode(head | measures), indent=1) + b"\n"

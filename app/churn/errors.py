"""Refusals of models and alerts."""

from app.kernel.errors import Refusal


class NoModel(Refusal):
    """No model has been trained yet."""

    code = "NO_MODEL"
    zh = "还没有训练好的流失预警模型，请先训练"
    en = "There is no churn model yet: train one first."


class ModelDamaged(Refusal):
    """The stored model does not match its checksum."""

    code = "MODEL_DAMAGED"
    zh = "流失预警模型 {version} 已损坏，请重新训练"
    en = "The churn model {version} is damaged: train a new one."


class AlertNotFound(Refusal):
    """There is no such alert."""

    code = "ALERT_NOT_FOUND"
    zh = "找不到该预警"
    en = "There is no such alert."


class AlertClosed(Refusal):
    """The alert is over."""

    code = "ALERT_CLOSED"
    zh = "该预警已结束"
    en = "This alert is over."


class ReasonRequired(Refusal):
    """An alert is muted only with a reason."""

    code = "REASON_REQUIRED"
    zh = "请填写原因"
    en = "Give a reason."

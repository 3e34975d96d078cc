"""Refusals of models and alerts."""

from datetime import UTC, datetime

from app.kernel.errors import NotBefore, Refusal


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


class ModelUnusable(Refusal):
    """The model is whole, but this version of the program cannot work with it."""

    code = "MODEL_UNUSABLE"
    zh = "本版本程序无法使用流失预警模型 {version}：{why}"
    en = "This version of the program cannot use the churn model {version}: {why}"


class ModelNotFound(Refusal):
    """There is no such model."""

    code = "MODEL_NOT_FOUND"
    zh = "找不到该模型"
    en = "There is no such model."


class NoEvidence(Refusal):
    """The model was never tried beside the one in force, on windows that neither had seen."""

    code = "NO_EVIDENCE"
    zh = "模型 {version} 尚未与现役模型 {rival} 在双方都未见过的时间窗上比较过，不能启用"
    en = (
        "The model {version} was not yet tried beside {rival}, which is in force, on windows that "
        "neither had learned from: it cannot be put in force."
    )


class NotBetter(Refusal):
    """The model did not win against the one in force."""

    code = "NOT_BETTER"
    zh = "回测中模型 {version} 没有胜过现役模型 {rival}，不能启用"
    en = "In the back-test {version} did not win against {rival}, which is in force."


class HorizonsDiffer(Refusal):
    """The model predicts another number of days than the one in force."""

    code = "HORIZONS_DIFFER"
    zh = (
        "模型 {version} 预测{days}天，现役模型 {rival} 预测{rival_days}天，二者不可比较；"
        "确需更换预测期，请由运维执行 linli models promote --change-horizon"
    )
    en = (
        "The model {version} predicts {days} days and {rival}, which is in force, {rival_days}: "
        "their scores mean different things, so that no back-test compares them. To change the "
        "horizon on purpose an operator runs linli models promote --change-horizon."
    )


class AlreadyInForce(Refusal):
    """The model is in force already."""

    code = "ALREADY_IN_FORCE"
    zh = "模型 {version} 已在使用中"
    en = "The model {version} is in force already."


class NotInForce(Refusal):
    """The model that is to be taken out of force is not the one in force."""

    code = "NOT_IN_FORCE"
    zh = "该模型并非现役模型"
    en = "This model is not the one in force."


class NoEarlierModel(Refusal):
    """No model that was in force before is whole."""

    code = "NO_EARLIER_MODEL"
    zh = "没有可以恢复的旧模型"
    en = "There is no earlier model to go back to."


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
    """An alert is muted, and ended by a person, only with a reason."""

    code = "REASON_REQUIRED"
    zh = "请填写原因"
    en = "Give a reason."


class AlertTaken(NotBefore):
    """A colleague works on the alert until the hold ends or they hand it back."""

    code = "ALERT_TAKEN"
    zh = "该预警由{owner}处理中"
    en = "{owner} is working on this alert."

    def __init__(self, *, owner: str, at: datetime) -> None:
        """Say who holds it, and until when."""
        Refusal.__init__(self, owner=owner, at=at.astimezone(UTC).isoformat())
        self.at = at


class AlertNotMuted(Refusal):
    """Only a mute that lasts is ended."""

    code = "ALERT_NOT_MUTED"
    zh = "该预警未处于静默中"
    en = "This alert's member is not muted."


class AlertNotTaken(Refusal):
    """Only an alert that somebody holds is handed back."""

    code = "ALERT_NOT_TAKEN"
    zh = "该预警无人处理中"
    en = "Nobody holds this alert."

"""Recognises answers in which a model says that it will not, or cannot, describe an image."""

import re

from workers.captions.data import read_lines

_BEGINS = re.compile("|".join(f"(?:{line})" for line in read_lines("refusals.txt")), re.IGNORECASE)
_FILLER = re.compile(r"(?:hmm|well|oh|okay|ok|hello|hi|hallo|bonjour)\b[,.! ]+", re.IGNORECASE)
_HELP = (
    r"(?:describe|caption|identify|assist|help you|help with|comply|provide|process|analy[sz]e"
    r"|view|access|comment|generate|fulfil)"
)
_ANYWHERE = re.compile(
    r"\bi(?:'m| am)? (?:can't|cannot|can not|won't|will not|(?:unable|not able|must decline) to)"
    rf" (?:\w+ )?{_HELP}"
    r"|\b(?:unable|not able) to (?:assist|fulfil|comply|help) (?:you|with)"
    r"|(?:説明|描写|記述|分析|提供|生成|作成|対応|回答|お答え|お手伝い)(?:することは?)?できません"
    r"|いたしかねます|无法(?:为您|协助|满足您)"
    r"|(?:설명|묘사|분석|제공|생성|작성|처리|수행|답변|응답)[을를]? ?"
    r"(?:할|(?:해 ?)?드릴) 수[가는]? 없"
    r"|도와드릴 수 없|(?:이미지|사진)[을를]? (?:확인|인식)할 수 없",
    re.IGNORECASE,
)
"""The shape of a refusal that does not begin as one: what its writer cannot do for the reader."""
_INVISIBLE = " \t\n\u00ad\u200b\u200c\u200d\u200e\u200f\u2060"
_QUOTED = re.compile(
    r"\"[^\"]*\"|\u201c[^\u201d]*\u201d|\u00ab[^\u00bb]*\u00bb"
    r"|\u300c[^\u300d]*\u300d|\u300e[^\u300f]*\u300f"
)


def is_refusal(text: str) -> bool:
    """Return whether an answer refuses, or apologises for having none.

    Args:
        text: one line, without quotes around all of it.
    """
    text = text.replace("\u2019", "'").lstrip(_INVISIBLE)
    text = _FILLER.sub("", text, count=1)
    return bool(_BEGINS.match(text) or _ANYWHERE.search(_QUOTED.sub("", text)))

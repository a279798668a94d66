"""STUB"""
import json
from shared.messages import Caption, Label, Nsfw
from shared.vocabulary import NsfwStatus
class Unusable(Exception): ...
LABELS_SCHEMA = {"type":"object","properties":{"labels":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"},"confidence":{"type":"number"}}}}}}
NSFW_SCHEMA = {"type":"object","properties":{"nsfw":{"type":"boolean"},"nsfw_confidence":{"type":"number"}}}
def _j(t):
    try: return json.loads(t)
    except ValueError as e: raise Unusable(str(e)) from e
def read_labels(text): 
    v=_j(text); ls=v.get("labels") or []
    if not ls: raise Unusable("empty")
    return tuple(Label(name=l["name"],confidence=l["confidence"]) for l in ls)
def read_nsfw(text, threshold=0.5):
    v=_j(text); s=v.get("nsfw_confidence",0)
    return Nsfw(status=NsfwStatus.UNSAFE if s>=threshold else NsfwStatus.SAFE, score=s, threshold=threshold)
def read_caption(text):
    if not text.strip(): raise Unusable("empty")
    return Caption(text=text)

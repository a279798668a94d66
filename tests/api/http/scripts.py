"""A prompt in many scripts."""

SCRIPTS = {
    "latin": "Wo läuft die Katze? Ça va!",
    "greek": "Περιέγραψε τη φωτογραφία",
    "cyrillic": "Опиши фотографию",
    "arabic": "صِف الصورة",
    "persian": "می‌خواهم عکس را توصیف کنی",
    "hebrew": "תאר את התמונה",
    "hindi": "फ़ोटो का वर्णन करें क्‍ष",
    "thai": "อธิบายภาพนี้",
    "chinese": "描述这张照片",
    "japanese": "写真を説明してください",
    "korean": "사진을 설명해 주세요",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 🫠",
    "gothic": "𐌰𐌹𐍅𐌰𐌲𐌲𐌴𐌻𐌾𐍉",
}

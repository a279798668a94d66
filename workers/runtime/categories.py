"""What the categories of labels are: kinds of things, groups of kinds, or themes.

A kind is what people call a thing when they see it (dog, car): the basic level of categories, after
Rosch et al., "Basic objects in natural categories", 1976. Its classes are special forms, such as
breeds and makes, which look alike. All categories that are not named below are kinds.
"""

GROUPS = frozenset(
    {
        "accessory", "agricultural machine", "alcohol", "amphibian", "ape", "appliance",
        "arachnid", "architecture", "armor", "baked goods", "berry", "bird of prey", "bread",
        "building", "citrus", "clothing", "coast", "construction machine", "container",
        "cookware", "cosmetics", "costume", "crop", "crustacean", "dairy", "dessert",
        "document", "drink", "drinkware", "electronics", "emergency vehicle", "farm animal",
        "fast food", "food", "fruit", "furniture", "insect", "landmark", "landscape",
        "lighting", "marine life", "marsupial", "meal", "meat", "melon", "mollusk", "monument",
        "musical instrument", "pet", "plant", "profession", "public transport",
        "religious building", "reptile", "rodent", "room", "snack", "songbird", "spacecraft",
        "tableware", "textile", "tool", "tower", "toy", "vegetable", "vehicle", "watercraft",
        "waterfowl", "weapon", "wild cat",
    }
)  # fmt: skip
"""Of kinds that have names of their own (sofa, lemon, castle): the superordinate level."""

THEMES = frozenset(
    {
        "activity", "amusement park", "animal", "art", "baby", "baseball", "bathroom",
        "bedroom", "book", "boxing", "camping", "Christmas", "cleaning", "construction",
        "dance", "diving", "entertainment", "event", "farm", "finance", "fishing", "fitness",
        "game", "garden", "gas station", "golf", "graduation", "gymnastics", "hair",
        "Halloween", "harbor", "hardware", "holiday", "home", "ice hockey", "indoor",
        "industry", "kitchen", "light", "medical", "military", "money", "music", "nature",
        "night", "office", "outdoor", "park", "person", "photography", "playground", "religion",
        "science", "season", "sewing", "shopping", "sign", "space", "sports", "street",
        "swimming", "tennis", "underwater", "water", "water sports", "weather", "wedding",
        "wildlife", "winter", "winter sports",
    }
)  # fmt: skip
"""What things that look different have in common: where they are, what they are for. Also the
categories with so many classes (animal: 398 of 1,000) that any photo gives them something."""

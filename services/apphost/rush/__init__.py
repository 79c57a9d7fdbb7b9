"""An on-sale simulation: a crowd storms one concert through the gateway, and then the books are closed.

plan      who comes when, and how they behave: decided beforehand, from a seed
stage     the concert, the accounts, and the watch over the tickets
gateway   one request to the shop, timed
buyer     one buyer's story
chaos     parts that are killed in the middle, if one wishes
progress  what is shown meanwhile
tally     what came of it, in numbers
plot      the same as a picture
rush      all of it, in its order
"""

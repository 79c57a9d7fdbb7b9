"""Words that too many passwords are made of; a blocklist, not rules on composition (NIST SP 800-63B).

`domain.password_problem` also refuses them with digits and punctuation around them, so a short list goes far.
"""

from __future__ import annotations

from typing import Final

_WORDS: Final = """
password passw0rd p@ssword p@ssw0rd pa$$word passwort motdepasse contrasena mypassword yourpassword
newpassword oldpassword passwordpassword password1password thepassword nopassword temppassword
testpassword userpassword adminpassword rootpassword secretpassword masterpassword defaultpassword
qwerty qwertyuiop qwertyui qwertyqwerty qwerty123qwerty qwertyasdf qwertzuiop azerty azertyuiop
asdfghjkl asdfasdf asdfasdfasdf asdfghjklzxcvbnm zxcvbnm zxcvbnmzxcvbnm zxcvasdfqwer qazwsxedc
qazwsxedcrfv qazwsx 1qaz2wsx 1qaz2wsx3edc 1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y q1w2e3r4t5 q1w2e3r4t5y6
qweasdzxc qweasd qweqweqwe abcdefghij abcdefg abcabcabc abcd1234abcd a1b2c3d4e5 a1b2c3d4e5f6
1234567890 12345678910 0123456789 0987654321 9876543210 1122334455 1212121212 123123123 123123123123
1231231234 123412341234 123456123456 1234554321 1357924680 147258369 741852963 789456123
7894561230 987654321 1020304050 11223344556 3141592653 31415926535 5555555555 0000000000
iloveyou iloveyouforever iloveyousomuch iloveu ilovegod ilovejesus loveyou lovelove loveme lovers
mylove mylove123 sweetheart princess princesa beautiful gorgeous angel angels sunshine rainbow
butterfly strawberry chocolate cheesecake blueberry watermelon pineapple cinnamon
letmein letmeinnow letmeinplease welcome welcomehome welcomeback changeme changemenow changeit
trustno1 whatever whatsup nothing something anything everything forgotten forgot idontknow
iforgot iforgotit secret topsecret supersecret mysecret opensesame
admin administrator adminadmin superuser superadmin root rootroot guest guestguest testtest
testtesttest testing test tester demo demodemo default user username login loginlogin computer
internet keyboard samsung microsoft windows google facebook instagram linkedin youtube
minecraft pokemon pikachu dragonball dragon starwars superman spiderman batman wonderwoman
ironman captainamerica harrypotter gandalf matrix terminator godzilla hellokitty mickeymouse
football footballer baseball basketball volleyball softball hockey cricket soccer liverpool
liverpoolfc manchester manchesterunited chelseafc arsenalfc barcelona realmadrid juventus bayern
bayernmunich yankees cowboys steelers lakers redskins ferrari porsche mercedes mustang corvette
harley harleydavidson motorcycle snowboard skateboard
michael jennifer jessica ashley charlie jordan thomas daniel michelle nicole elizabeth christopher
alexander alexandra anthony andrew matthew joshua christian christina samantha stephanie
master monkey shadow killer hunter hunter2 tigger pepper ginger cookie buster maggie summer winter
autumn spring january february november december september october monday friday
jesuschrist jesus godisgood godisgreat blessed hallelujah
ticketflow tickets concert concerts concerttickets
qwerty12345 password12345
"""
COMMON: Final = frozenset(_WORDS.split())

RUNS: Final = (
    "01234567890123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
)
"""Keyboard rows and alphabets; a password that is a stretch of one, in either direction, is refused."""

"""
The texts of Loadline's test prompts.

They were written for this purpose, are of different kinds (prose, instructions, arithmetic, a program), and
hold nothing of a user.
"""

from typing import Final

TEXTS: Final = (
    "The harbour lies at the mouth of a slow river, between two hills that keep the wind away. Every morning"
    " the pilots row out to the ships that wait behind the bar, climb a rope ladder, and bring them in with"
    " the tide. A loaded ship lies deep, and the pilot asks first how much water she needs. If the answer is"
    " more than the channel has, the ship waits for the next high water, however much her owner complains."
    " The oldest pilot likes to tell the young ones that he has never put a ship aground, and that he has"
    " kept more captains waiting than any other man on the coast. Both are true, and each explains the"
    " other.",
    "To repair a puncture, turn the bicycle upside down and take out the wheel. Lift one side of the tyre"
    " over the rim with two levers, then pull the tube out, beginning opposite the valve. Pump some air into"
    " the tube and hold it under water: bubbles show where the hole is. Dry the place, make it rough with"
    " sandpaper, spread a little glue on it and wait for five minutes. Press the patch on firmly. Before you"
    " put the tube back, feel along the inside of the tyre with your fingers, because whatever made the hole"
    " may still be there. Pump up the tyre, check that it sits evenly, and put the wheel back.",
    "A train leaves the first town at eight o'clock and travels at sixty kilometres an hour. A second train"
    " leaves the other town, three hundred kilometres away, at nine o'clock and travels towards the first"
    " one at ninety kilometres an hour. At nine o'clock the first train has covered sixty kilometres, so the"
    " trains are two hundred and forty kilometres apart. Together they approach each other by one hundred"
    " and fifty kilometres in an hour. Two hundred and forty divided by one hundred and fifty is one point"
    " six, so they meet after one hour and thirty-six minutes, at ten thirty-six. The first train has then"
    " travelled one hundred and fifty-six kilometres, and the second one hundred and forty-four.",
    "def merge(first, second): result = [] ; i = j = 0 ; while i < len(first) and j < len(second): if"
    " first[i] <= second[j]: result.append(first[i]) ; i = i + 1 ; else: result.append(second[j]) ; j = j +"
    " 1 ; return result + first[i:] + second[j:] . This function takes two sorted lists and returns one"
    " sorted list with the items of both. It compares the first items that are left, takes the smaller one,"
    " and goes on until one list is empty; the rest of the other list is sorted already and larger than all"
    " before it. Each item is copied once, so the time grows with the number of items in both lists.",
)

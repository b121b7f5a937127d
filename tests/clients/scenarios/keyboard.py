"""The same with the keyboard alone: what has the focus can be seen, the order is that of reading, and Enter does what a person expects."""


def run(browser, asked):
    browser.open(asked["origin"] + "/device")
    assert browser.focused() == "Code", browser.focused()
    # As it is typed by people.
    browser.keys(asked["code"].lower().replace("-", " "))
    browser.enter()
    assert browser.heading() == "Sign in", browser.heading()
    assert browser.focused() == "User name", browser.focused()
    browser.keys(asked["user"])
    browser.tab_to("Password")
    browser.keys(asked["password"])
    browser.enter()
    assert browser.heading() == "Connect this device?", browser.heading()
    # Nothing is answered by an Enter that comes too early: the focus is on no button.
    assert browser.focused() not in ("Approve", "Deny"), browser.focused()
    browser.tab_to("Approve")
    browser.enter()
    assert browser.heading() == "The device is connected", browser.heading()

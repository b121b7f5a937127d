"""An impatient person: presses twice, goes back and presses again, has two windows. One key comes of it."""


def run(browser, asked):
    browser.open(asked["page"])
    browser.type("User name", asked["user"])
    browser.type("Password", asked["password"])
    browser.press("Sign in")
    second = browser.another_window(asked["page"])
    browser.press_twice("Approve")
    assert browser.heading() == "The device is connected", browser.heading()
    browser.back()
    assert browser.heading() in ("Connect this device?", "The device is connected"), browser.heading()
    if browser.heading() == "Connect this device?":
        browser.press("Approve")
        assert browser.heading() == "The device is connected", browser.heading()
    # What the other window says comes too late.
    browser.to_window(second)
    browser.press("Deny")
    assert browser.heading() == "The device is connected", browser.heading()

"""Who may see and do what, in full: every field of the schema stands here, or the tests fail.

A caller sees a field if they get the object at the root, may pass every field on the way, and may
see the field itself. `WAYS` says who gets what at the root when they ask for things of one member,
`self`, of one community; `TYPES` who sees each field of an object that they have; `MUTATIONS` and
`SUBSCRIPTIONS` who is let in.
"""

Who = frozenset[str]


def who(names: str) -> Who:
    return frozenset(names.split())


MEMBERS = who("self neighbour stranger frozen")
OFFICE = who("owner manager support analyst")
LEADERS = who("leader far homeless")
STAFF = OFFICE | LEADERS
SIGNED_IN = MEMBERS | STAFF
PARTNERS = who("partner orders keyless")
ALL = who("anonymous") | SIGNED_IN | PARTNERS
SELF = who("self")
OWNER = who("owner")
MANAGERS = who("owner manager")
SUPPORT = who("owner support")

# The member themselves, staff, and the leader of the member's community.
THEIRS = SELF | OFFICE | who("leader")
# Members of the community, its leader and staff.
HOME = who("self neighbour frozen leader") | OFFICE

WAYS: dict[str, Who] = {
    "me": MEMBERS,
    "member": THEIRS,
    "members": OFFICE | who("leader"),
    "previewMerge": SUPPORT,
    "myDataExport": SELF,
    "tiers": ALL,
    "tierRun": OFFICE,
    "benefits": ALL,
    "benefitSlots": SIGNED_IN,
    "priceBasket": MEMBERS,
    "couponTemplates": OFFICE,
    "couponBatches": OFFICE,
    "packs": SIGNED_IN,
    "giftOffers": SIGNED_IN,
    "festivals": SIGNED_IN,
    "occasionGifts": OFFICE,
    "drop": SIGNED_IN,
    "drops": SIGNED_IN,
    "segments": OFFICE,
    "churnAlerts": OFFICE,
    "churnModels": OFFICE,
    "churnDrift": OFFICE,
    "churnTriggers": OFFICE,
    "campaigns": OFFICE,
    "ballot": HOME,
    "ballots": HOME,
    "auditLog": OWNER,
    "communitySettings": OFFICE,
    "staffNotices": OFFICE,
    "playbooks": OFFICE,
    "playbookEffects": OFFICE,
    "rankedAlerts": OFFICE,
    "playbookTasks": OFFICE | who("leader"),
    "pointsStatement": THEIRS,
    "serverInfo": ALL,
    "node:Member": THEIRS,
    "node:Community": SIGNED_IN,
    "node:Coupon": SELF,
    "node:CouponBatch": OFFICE,
    "node:CouponTemplate": SIGNED_IN,
    "node:BenefitSlot": SIGNED_IN,
    "node:BenefitUse": SELF,
    "node:Pack": SIGNED_IN,
    "node:GiftOffer": SIGNED_IN,
    "node:GiftHold": SELF,
    "node:Drop": SIGNED_IN,
    "node:ChurnAlert": OFFICE,
    "node:ChurnModel": OFFICE,
    "node:Campaign": OFFICE,
    "node:Ballot": HOME,
    "node:Review": THEIRS,
    "node:EcoAction": THEIRS,
    "node:AuditEntry": OWNER,
    "node:StaffNotice": OFFICE,
    "node:Playbook": OFFICE,
    "node:PlaybookTask": OFFICE | who("leader"),
}

MUTATIONS: dict[str, Who] = {
    "loginWithWechat": ALL,
    "requestPhoneCode": ALL,
    "loginWithPhone": ALL,
    "refreshSession": ALL,
    "staffLogin": ALL,
    "logout": SIGNED_IN,
    "linkPhone": SUPPORT,
    "mergeMembers": SUPPORT,
    "freezeMember": SUPPORT,
    "unfreezeMember": SUPPORT,
    "connectPhone": MEMBERS,
    "connectWechat": MEMBERS,
    "mergeMyAccounts": MEMBERS,
    "exportMyData": MEMBERS,
    "closeMyAccount": MEMBERS,
    "keepMyAccount": MEMBERS,
    "adjustPoints": SUPPORT,
    "promoteChurnModel": who("owner analyst"),
    "rollBackChurnModel": who("owner analyst"),
    "updateCommunitySettings": MANAGERS,
    "acknowledgeNotice": who("owner manager support"),
    "acknowledgeAlert": who("owner manager support"),
    "takeOverAlert": who("owner manager support"),
    "handBackAlert": who("owner manager support"),
    "muteAlert": who("owner manager support"),
    "unmuteAlert": who("owner manager support"),
    "closeAlert": who("owner manager support"),
    "recordOrders": who("owner partner orders"),
    "recordEvents": who("owner partner"),
    "checkIn": MEMBERS,
    "share": MEMBERS,
    "acceptInvitation": MEMBERS,
    "useBenefit": MEMBERS | SUPPORT | who("partner"),
    "bookBenefit": MEMBERS,
    "cancelBooking": MEMBERS,
    "settleBooking": SUPPORT,
    "reverseBenefitUse": SUPPORT,
    "defineTier": MANAGERS,
    "defineBenefit": MANAGERS,
    "setTierBenefits": MANAGERS,
    "openBenefitSlot": MANAGERS,
    "cancelBenefitSlot": MANAGERS,
    "resizeBenefitSlot": MANAGERS,
    "overrideTier": SUPPORT,
    "endTierOverride": SUPPORT,
    "previewTierRun": MANAGERS,
    "publishTierRun": MANAGERS,
    "redeemCoupon": MEMBERS,
    "reserveCoupon": MEMBERS,
    "releaseCoupon": MEMBERS,
    "redeemCode": MEMBERS,
    "createCouponBatch": MANAGERS,
    "approveCouponBatch": MANAGERS,
    "moveCouponBatch": MANAGERS,
    "claimPack": MEMBERS,
    "holdGift": MEMBERS,
    "takeGift": MEMBERS,
    "releaseGift": MEMBERS,
    "setBirthday": MEMBERS,
    "createPack": MANAGERS,
    "openPack": MANAGERS,
    "closePack": MANAGERS,
    "createGiftOffer": MANAGERS,
    "setOccasionGift": MANAGERS,
    "addFestival": MANAGERS,
    "claimDrop": MEMBERS,
    "castVote": MEMBERS,
    "submitReview": MEMBERS,
    "submitEcoAction": MEMBERS,
    "verifyEcoAction": SUPPORT | LEADERS,
    "createCouponTemplate": MANAGERS,
    "createDrop": MANAGERS,
    "setDropEarlyAccess": MANAGERS,
    "cancelDrop": MANAGERS,
    "closeDrop": MANAGERS,
    "openDrop": MANAGERS,
    "createPlaybook": MANAGERS,
    "updatePlaybook": MANAGERS,
    "approvePlaybook": MANAGERS,
    "activatePlaybook": MANAGERS,
    "retirePlaybook": MANAGERS,
    "completePlaybookTask": who("owner manager support") | LEADERS,
    "createCampaign": MANAGERS,
    "startCampaign": MANAGERS,
    "pauseCampaign": MANAGERS,
    "createBallot": MANAGERS,
    "openBallot": MANAGERS,
    "closeBallot": MANAGERS,
}

SUBSCRIPTIONS: dict[str, Who] = {
    "myUpdates": MEMBERS,
    "dropUpdated": SIGNED_IN,
    "ballotTally": HOME,
    "churnAlertRaised": OFFICE,
    "churnAlertChanged": OFFICE,
    "serverTime": ALL,
}

TYPES: dict[str, dict[Who, str]] = {
    # A member.
    "Member": {
        ALL: "id nickname avatarUrl status locale registeredAt closingAt community tier benefits "
        "benefitUses points sharing carbon packs gifts coupons segment badges messages",
        OFFICE: "risk signals",
        SELF | OFFICE: "birthday",
    },
    "Community": {ALL: "id name timeZone"},
    "MemberTier": {ALL: "code name rank benefits since growth state graceUntil next projected"},
    "TierProjection": {
        ALL: "at growth growthThen move state missingGrowth missingToKeep tier nextInWords "
        "keepInWords"
    },
    "TierRun": {
        ALL: "zone month state cutoff members startedAt previewedAt publishedAt counts moves"
    },
    "TierMoveCount": {ALL: "kind fromCode toCode members"},
    "TierMove": {ALL: "kind fromCode toCode growth threshold applied reason member"},
    "Benefit": {ALL: "code name description kind needsBooking partner"},
    "MemberBenefit": {ALL: "benefit quota window used left windowEndsAt"},
    "BenefitSlot": {ALL: "id startsAt endsAt venue capacity left cancelledAt cancelReason"},
    "BenefitUse": {ALL: "id benefit quantity state at day slot reference note reversalReason"},
    "NextTier": {ALL: "tier missingGrowth"},
    "Tier": {ALL: "code name rank upgradeAt retainAt benefits"},
    "TierBenefit": {ALL: "code name quota window"},
    "PointsAccount": {
        ALL: "currency balance pending debt expiringSoon nextExpiryAt expiring entries"
    },
    "ExpiringPoints": {ALL: "expiresAt points"},
    "PointsStatement": {ALL: "currency from until opening closing totals reconciles entries"},
    "PointsFigures": {ALL: "balance pending debt"},
    "PointsKindTotal": {ALL: "kind entries effect"},
    "MemberSharing": {ALL: "accepted rewarded points leftThisMonth"},
    "PointsEntry": {ALL: "kind amount source reason at"},
    "MemberSegment": {ALL: "stage since lastOrderAt net90 rfm name"},
    "RfmScores": {ALL: "recency frequency monetary"},
    "MemberBadge": {ALL: "code name description figure issuedAt expiresAt"},
    "ChurnRisk": {ALL: "probability horizonDays asOf nextOrderDays nextOrderOutlook reasons"},
    "Review": {ALL: "id sku rating text status submittedAt"},
    "EcoAction": {
        ALL: "id type status gramsCo2e factorVersion carbonPoints evidenceKind evidence day "
        "submittedAt decidedAt reason"
    },
    "MemberUpdate": {ALL: "cursor kind facts member"},
    # Coupons and drops.
    "Coupon": {
        ALL: "id status code usableFrom expiresAt grantedAt reservedFor reservedUntil template "
        "redemption lastReturn"
    },
    "CouponRedemption": {ALL: "orderRef discountFen at explanation lostFen settlement"},
    "CouponReturn": {ALL: "orderRef discountFen outcome at"},
    "BasketPrice": {
        ALL: "subtotalFen shippingFen savedFen pointsFen payableShippingFen payableFen lines steps "
        "leftOut isBest explanation giftsFen gifts"
    },
    "PricedGift": {ALL: "holdId sku unitFen payableFen"},
    "PricedLine": {ALL: "sku category quantity unitFen payableFen"},
    "PriceStep": {ALL: "stage couponId baseFen discountFen shares shippingFen points"},
    "CouponLeftOut": {ALL: "couponId code message"},
    "CouponTemplate": {
        ALL: "id name kind value thresholdFen maxDiscountFen skus categories validity validFrom "
        "validUntil waitDays validDays readyKey returnPolicy exclusive stackingGroup priority "
        "perMember perIdentity firstOrder"
    },
    "CouponBatch": {
        ALL: "id status codeMode quantity granted setAside redeemed budgetFen reservedFen spentFen "
        "template draftedBy approvedBy approvedAlone"
    },
    # Packs, gifts and birthdays.
    "Pack": {ALL: "id title status once stock remaining items"},
    "PackItem": {ALL: "position unlock day points template gift"},
    "PackClaim": {ALL: "claimedAt pack parts"},
    "PackPart": {ALL: "status unlocksAt endedAt item coupon hold"},
    "GiftOffer": {ALL: "id title sku priceFen stock cycle opensAt closesAt left"},
    "GiftHold": {ALL: "id heldAt expiresAt orderRef status offer"},
    "Birthday": {ALL: "calendar month day leapMonth feb29 nextOn mayChange countsFromCycle"},
    "Festival": {ALL: "code name calendar month day nextOn"},
    "OccasionGift": {ALL: "occasion tier since batch"},
    "Drop": {
        ALL: "id title state opensAt closesAt stock remaining communityId minRank guestsOnly "
        "template earlyAccess",
        OFFICE: "batch cancellation",
        SELF: "myClaim",
        MEMBERS: "myOpensAt",
    },
    "DropClaim": {ALL: "claimedAt coupon"},
    "DropUpdate": {ALL: "cursor drop"},
    # Ballots; the one of the world shows its tally to those who have voted.
    "Ballot": {
        ALL: "id question method status opensAt closesAt visibility quorumPercent tieRule "
        "changeUntilClose stages tiers options community tally mayVote decision",
        SELF: "myVote",
    },
    "BallotChoice": {ALL: "id label"},
    "BallotTally": {ALL: "options turnout rollSize"},
    "BallotOption": {ALL: "id label", SELF: "votes"},
    "OwnVote": {ALL: "optionId castAt"},
    "BallotDecision": {ALL: "outcome winnerId reason decidedAt"},
    "BallotTallyUpdate": {ALL: "cursor ballot tally"},
    # What the office sees.
    "Playbook": {
        ALL: "id name version state holdoutPermille levelHoldoutPermille horizonDays "
        "persuadableOnly createdAt writtenBy approvedBy approvedAt approvedAlone "
        "activatedAt retiredAt community measures worthFen needsApproval preview"
    },
    "PlaybookMeasure": {ALL: "level audience kind points textZh textEn contactFen forLeader batch"},
    "PlaybookExpected": {ALL: "level audience kind members heldOut costFen couponsLeft"},
    "PlaybookEffect": {ALL: "level audience treated control stayRate netFen splitChance isBlocked"},
    "PlaybookArm": {ALL: "members stayed costFen"},
    "EstimatedFigure": {ALL: "value low high"},
    "PlaybookAction": {ALL: "level audience kind side outcome at"},
    "AlertPlace": {ALL: "rankedBy worthFen expectedEffect at"},
    "RankedAlert": {ALL: "alert place"},
    "PlaybookTask": {
        ALL: "id level forLeader state createdAt dueAt closedAt result note script reasons member"
    },
    "MemberMessage": {ALL: "id text sentAt"},
    "CreatePlaybookSuccess": {ALL: "playbook"},
    "UpdatePlaybookSuccess": {ALL: "playbook"},
    "ApprovePlaybookSuccess": {ALL: "playbook"},
    "ActivatePlaybookSuccess": {ALL: "playbook"},
    "RetirePlaybookSuccess": {ALL: "playbook"},
    "CompletePlaybookTaskSuccess": {ALL: "task"},
    "Campaign": {
        ALL: "id name segment state pauseReason startsAt endsAt holdoutPermille createdAt batch "
        "stats"
    },
    "CampaignStats": {ALL: "enrolled granted redeemed holdout"},
    "ChurnAlert": {
        ALL: "id level probability trigger horizonDays raisedAt escalatesAt closedAt reasons "
        "member steps cause expectedLossFen acknowledgedAt acknowledgedBy owner takenAt heldUntil "
        "mutedUntil signals history place expectedEffect answers nextOrderDays "
        "nextOrderOutlook"
    },
    "ChurnAlertStep": {ALL: "state at reason actor"},
    "ChurnAlertEntry": {ALL: "at state action until reason actor"},
    "ChurnSignal": {ALL: "kind baseline recent change openedAt asOf closedAt outcome reason"},
    "ChurnAlertRaised": {ALL: "cursor alert"},
    "ChurnAlertChanged": {ALL: "cursor change alert"},
    "ChurnModel": {
        ALL: "id version role trainedAsOf createdAt promotedAt rolledBackAt problem choice "
        "horizonDays orders members program sha256 features figures evidence"
    },
    "ModelFigures": {ALL: "rocAuc prAuc brier ece lift baseRate"},
    "ModelEvidence": {ALL: "rival asOf wins champion challenger rocAucGain brierGain windows"},
    "ModelGain": {ALL: "mean low high"},
    "ModelTrial": {ALL: "cutoff members standIn champion challenger"},
    "ChurnDrift": {ALL: "nights alarms"},
    "DriftNight": {
        ALL: "asOf model members meanProbability scorePsi scorePsiNoise features closedAt "
        "closedMembers baseRate brier rocAuc"
    },
    "FeatureDrift": {ALL: "name psi"},
    "ChurnTriggerNight": {ALL: "asOf precision trigger share shareError rises days nights"},
    "DriftEpisode": {ALL: "kind raisedAt value limit closedAt"},
    "SegmentOverview": {ALL: "asOf cutPointsVersion members stages vipSalesShare alarms"},
    "SegmentSummary": {ALL: "stage members share net90 salesShare name"},
    "AuditEntry": {
        ALL: "id at actorKind actorId action outcome given subjectKind subjectId before after "
        "address requestId"
    },
    "StaffNotice": {ALL: "id kind subject day facts at acknowledgedAt acknowledgedBy"},
    # Everybody's.
    "CommunitySetting": {ALL: "key kind value isOwn defaultValue least most choices description"},
    "ServerInfo": {ALL: "name version environment time timeZone"},
    "ServerTime": {ALL: "time"},
    "PageInfo": {ALL: "hasNextPage hasPreviousPage startCursor endCursor"},
    # Answers to mutations: for whom the mutation is.
    "Session": {ALL: "accessToken refreshToken expiresAt"},
    "MemberSession": {ALL: "session member"},
    "StaffSession": {ALL: "session staff"},
    "StaffAccount": {ALL: "id login name role"},
    "RefreshSessionSuccess": {ALL: "session"},
    "RequestPhoneCodeSuccess": {ALL: "expiresInSeconds developmentCode"},
    "LogoutSuccess": {ALL: "ended"},
    "LinkPhoneSuccess": {ALL: "member"},
    "MergeMembersSuccess": {ALL: "member moves"},
    "MergeMyAccountsSuccess": {ALL: "member moves"},
    "ConnectPhoneSuccess": {ALL: "member offer"},
    "ConnectWechatSuccess": {ALL: "member offer"},
    "MergeOffer": {ALL: "token endsAt nickname registeredAt"},
    "MergePreview": {ALL: "survivor merged after moves"},
    "MergeFigure": {ALL: "what rows"},
    "MemberHolding": {ALL: "points pending debt carbon coupons orders votes identities tier"},
    "DataExport": {ALL: "id state requestedAt readyAt endsAt bytes downloadPath"},
    "ExportMyDataSuccess": {ALL: "export"},
    "CloseMyAccountSuccess": {ALL: "eraseAt"},
    "KeepMyAccountSuccess": {ALL: "member"},
    "FreezeMemberSuccess": {ALL: "member"},
    "UnfreezeMemberSuccess": {ALL: "member"},
    "AdjustPointsSuccess": {ALL: "amount account"},
    "UpdateCommunitySettingsSuccess": {ALL: "settings"},
    "PromoteChurnModelSuccess": {ALL: "model"},
    "RollBackChurnModelSuccess": {ALL: "model"},
    "AcknowledgeNoticeSuccess": {ALL: "notice"},
    "AcknowledgeAlertSuccess": {ALL: "alert"},
    "TakeOverAlertSuccess": {ALL: "alert"},
    "HandBackAlertSuccess": {ALL: "alert"},
    "MuteAlertSuccess": {ALL: "alert"},
    "UnmuteAlertSuccess": {ALL: "alert"},
    "CloseAlertSuccess": {ALL: "alert"},
    "UseBenefitSuccess": {ALL: "use benefit"},
    "BookBenefitSuccess": {ALL: "use benefit"},
    "CancelBookingSuccess": {ALL: "use benefit"},
    "SettleBookingSuccess": {ALL: "use benefit"},
    "ReverseBenefitUseSuccess": {ALL: "use benefit"},
    "DefineTierSuccess": {ALL: "tier"},
    "DefineBenefitSuccess": {ALL: "benefit"},
    "SetTierBenefitsSuccess": {ALL: "tier"},
    "OpenBenefitSlotSuccess": {ALL: "slot"},
    "CancelBenefitSlotSuccess": {ALL: "slot"},
    "ResizeBenefitSlotSuccess": {ALL: "slot"},
    "OverrideTierSuccess": {ALL: "tier"},
    "EndTierOverrideSuccess": {ALL: "tier"},
    "PreviewTierRunSuccess": {ALL: "run"},
    "PublishTierRunSuccess": {ALL: "run"},
    "Share": {ALL: "code targetKind target createdAt"},
    "ShareSuccess": {ALL: "share"},
    "Invitation": {ALL: "state acceptedAt"},
    "AcceptInvitationSuccess": {ALL: "invitation"},
    "CheckInSuccess": {ALL: "day streak earned points"},
    "RecordVerdict": {ALL: "index status code message"},
    "RecordEventsSuccess": {ALL: "verdicts"},
    "RecordOrdersSuccess": {ALL: "verdicts"},
    "CreateCouponTemplateSuccess": {ALL: "template batch"},
    "RedeemCouponSuccess": {ALL: "discountFen coupon"},
    "ReserveCouponSuccess": {ALL: "discountFen reservedUntil coupon"},
    "ReleaseCouponSuccess": {ALL: "coupon"},
    "RedeemCodeSuccess": {ALL: "coupon"},
    "CreateCouponBatchSuccess": {ALL: "batch"},
    "ApproveCouponBatchSuccess": {ALL: "batch codes"},
    "MoveCouponBatchSuccess": {ALL: "batch"},
    "ClaimPackSuccess": {ALL: "claim"},
    "CreatePackSuccess": {ALL: "pack"},
    "OpenPackSuccess": {ALL: "pack"},
    "ClosePackSuccess": {ALL: "pack"},
    "CreateGiftOfferSuccess": {ALL: "offer"},
    "HoldGiftSuccess": {ALL: "hold"},
    "TakeGiftSuccess": {ALL: "hold"},
    "ReleaseGiftSuccess": {ALL: "hold"},
    "SetBirthdaySuccess": {ALL: "birthday"},
    "SetOccasionGiftSuccess": {ALL: "gift"},
    "AddFestivalSuccess": {ALL: "festival"},
    "CreateDropSuccess": {ALL: "drop"},
    "OpenDropSuccess": {ALL: "drop"},
    "ClaimDropSuccess": {ALL: "claim drop"},
    "SetDropEarlyAccessSuccess": {ALL: "drop"},
    "CancelDropSuccess": {ALL: "drop"},
    "CloseDropSuccess": {ALL: "drop"},
    "DropWindow": {ALL: "rank opensAt stock"},
    "DropCancellation": {ALL: "reason claims points revoked cancelledAt doneAt"},
    "CreateCampaignSuccess": {ALL: "campaign"},
    "StartCampaignSuccess": {ALL: "campaign"},
    "PauseCampaignSuccess": {ALL: "campaign"},
    "CreateBallotSuccess": {ALL: "ballot"},
    "OpenBallotSuccess": {ALL: "ballot"},
    "CloseBallotSuccess": {ALL: "ballot"},
    "CastVoteSuccess": {ALL: "ballot"},
    "SubmitReviewSuccess": {ALL: "review"},
    "SubmitEcoActionSuccess": {ALL: "action"},
    "VerifyEcoActionSuccess": {ALL: "action"},
}
# Pages of lists.
for _listed in who(
    "AuditEntry Ballot Benefit BenefitSlot BenefitUse Campaign ChurnAlert ChurnModel Coupon "
    "CouponBatch CouponTemplate Drop GiftHold GiftOffer Member Pack PackClaim PointsEntry "
    "StaffNotice TierMove Playbook PlaybookTask RankedAlert"
):
    TYPES[f"{_listed}Connection"] = {ALL: "edges pageInfo nodes"}
    TYPES[f"{_listed}Edge"] = {ALL: "node cursor"}

# What nobody comes to in the world: nothing was decided yet.
UNSEEN = who("CouponReturn BallotDecision")
